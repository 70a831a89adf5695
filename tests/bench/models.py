"""`make bench-models`: the smallest member of each family of torchvision's classifiers, packed, served and analysed.

Networks are untrained, so packing compares their export and tries their methods; MobileNetV2 has its ImageNet weights
and gets every check. Each is served alone by the real server and asked over both transports for a prediction, a map of
every method that it offers, a refusal of every other one, and robustness. One wrong answer ends the run.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from families import FAMILIES, ask_everything, assert_alike, write_spec
from servers import Server, serving
from whybox import Client
from whybox_handlers.explanations.examples import EXAMPLE
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.spec import load_spec
from whybox_server.packing.pack import Checks, pack_model

REPOSITORY = Path(__file__).parents[2]
TRAINED = REPOSITORY / "model_store" / "mobilenet-v2.yaml"
PREDICTIONS = 20


@dataclass(frozen=True)
class Row:
    """What was measured of one model.

    Attributes:
        model: Its name.
        packing: Seconds.
        archive: MiB.
        methods: Number of methods that it offers.
        unavailable: Why it does not offer the others, by method; without those that no model offers by default.
        prediction: Median time of a prediction over gRPC, ms.
        analyses: Seconds of all analyses over both transports.
        memory: The two workers together, MiB.
    """

    model: str
    packing: float
    archive: float
    methods: int
    unavailable: dict[str, str]
    prediction: float
    analyses: float
    memory: float


def measured(spec: Path, checks: Checks, image: bytes, progress: Progress) -> Row:
    """Packs, serves and asks one model.

    Raises:
        AssertionError: An answer is wrong.
    """
    step = progress.add_task(spec.stem, total=None)

    def report(words: str) -> None:
        progress.update(step, description=f"{spec.stem}: {words}")

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        packed = pack_model(spec, Path(folder), report, checks)
        packing = time.perf_counter() - started
        report("starting the server")
        with serving(Path(folder), Path(folder, "logs")) as server:
            spent, prediction = _asked(server, packed.archive, image, report)
            workers = [worker for kind in ("predict", "analyze") for worker in server.workers(kind)]
            memory = sum(worker.memory_info().rss for worker in workers) / 2**20
        archive = packed.archive.stat().st_size / 2**20
    progress.remove_task(step)
    unavailable = {
        method.name: method.unavailable
        for method in packed.model.methods
        if method.unavailable and method.name != EXAMPLE and not EXPLAINERS[method.name].off_by_default
    }
    offered = sum(not method.unavailable for method in packed.model.methods)
    return Row(spec.stem, packing, archive, offered, unavailable, prediction, spent, memory)


def _asked(server: Server, archive: Path, image: bytes, report: Callable[[str], None]) -> tuple[float, float]:
    """Seconds of all analyses, and median milliseconds of a prediction."""
    classifier = load_archive(archive)
    with Client(server.grpc, timeout=120) as grpc, Client(server.rest, timeout=120) as rest:
        started = time.perf_counter()
        maps = [ask_everything(client, archive.stem, classifier, image, report) for client in (grpc, rest)]
        spent = time.perf_counter() - started
        assert_alike(*maps)
        report("predicting, timed")
        milliseconds = []
        for _ in range(PREDICTIONS):
            begun = time.perf_counter()
            grpc.predict(image)
            milliseconds.append(1000 * (time.perf_counter() - begun))
    return spent, statistics.median(milliseconds)


def main() -> None:
    """Prints a row per model as soon as it is measured, and the table at the end."""
    console = Console()
    torch.set_num_threads(1)
    image = load_spec(TRAINED).check_pictures.paths()[0].read_bytes()
    started = time.perf_counter()
    rows = []
    with Progress(console=console, transient=True) as progress, tempfile.TemporaryDirectory() as folder:
        whole = progress.add_task("models", total=1 + len(FAMILIES))
        for name in ("", *FAMILIES):
            spec = write_spec(name, Path(folder)) if name else TRAINED
            row = measured(spec, "export" if name else "all", image, progress)
            spec.with_suffix(".pth").unlink(missing_ok=True)
            rows.append(row)
            progress.advance(whole)
            console.print(f"{row.model}: packed in {row.packing:.0f} s, asked in {row.analyses:.0f} s", highlight=False)
    minutes = (time.perf_counter() - started) / 60
    table = Table("model", "packed s", "archive MiB", "methods", "prediction ms", "analyses s", "workers MiB")
    table.title = f"Families of torchvision's classifiers, packed, served and analysed ({minutes:.0f} minutes)"
    table.caption = "mobilenet-v2 is packed with every check; analyses ask every method over both transports"
    for row in rows:
        figures = (f"{row.packing:.0f}", f"{row.archive:.0f}", str(row.methods), f"{row.prediction:.0f}")
        table.add_row(row.model, *figures, f"{row.analyses:.0f}", f"{row.memory:.0f}")
    console.print(table)
    for row in rows:
        for method, reason in row.unavailable.items():
            console.print(f"{row.model} does not offer {method}: {reason}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
