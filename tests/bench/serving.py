"""`make bench`: a prediction over gRPC and REST beside the same model called in-process, in one run.

One worker with one core serves; the same code on one core is called in-process. All three take turns, so that whatever
else the machine does hits them alike; figures are medians over rounds.
"""

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from servers import serving
from whybox import Client, v1
from whybox_handlers.models.archives import load_archive
from whybox_handlers.work.analyzer import Analyzer
from whybox_server.packing.pack import pack_model

REPOSITORY = Path(__file__).parents[2]
ROUNDS = 9
CALLS = 20
CALLERS = 8

Predict = Callable[[bytes], object]


def pictures() -> list[bytes]:
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise SystemExit("the pictures of this benchmark are in the foolbox package; install whybox[server]")
    return [path.read_bytes() for path in sorted(Path(spec.origin).parent.glob("data/imagenet_*.jpg"))]


def latencies(predict: Predict, images: Iterator[bytes]) -> list[float]:
    """Milliseconds of one call after another."""
    spent = []
    for _ in range(CALLS):
        image = next(images)
        started = time.perf_counter()
        predict(image)
        spent.append(1000 * (time.perf_counter() - started))
    return spent


def throughput(predict: Predict, images: Sequence[bytes]) -> float:
    """Answers a second with several callers at once."""
    with ThreadPoolExecutor(CALLERS) as callers:
        started = time.perf_counter()
        list(callers.map(predict, images))
        return len(images) / (time.perf_counter() - started)


def main() -> None:
    console = Console()
    torch.set_num_threads(1)
    store = REPOSITORY / "model_store"
    archive = pack_model(store / "efficientnet-lite0.yaml", store, lambda _: None).archive
    analyzer = Analyzer(load_archive(archive))
    images = pictures()

    def in_process(image: bytes) -> None:
        request = v1.AnalyzeRequest(image=image, prediction=v1.PredictionOptions(top_k=5))
        analyzer.answer([v1.Work(request=request)])

    with tempfile.TemporaryDirectory() as logs, serving(store, Path(logs)) as server:
        grpc, rest = Client(server.grpc), Client(server.rest)
        ways: dict[str, Predict] = {"in-process": in_process, "gRPC": grpc.predict, "REST": rest.predict}
        endless = cycle(images)
        for predict in ways.values():
            latencies(predict, endless)  # warm up
        spent: dict[str, list[float]] = {way: [] for way in ways}
        medians: dict[str, list[float]] = {way: [] for way in ways}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in track(range(ROUNDS), "measuring", console=console, transient=True):
            for way, predict in ways.items():
                round_ = latencies(predict, endless)
                spent[way] += round_
                medians[way].append(statistics.median(round_))
                rates[way].append(throughput(predict, images * 2) if way != "in-process" else 1000 / medians[way][-1])

    table = Table("", "median ms", "p95 ms", "ratio", f"answers/s, {CALLERS} callers", "ratio")
    table.caption = "ratios to in-process, medians over the rounds"
    table.title = f"One prediction, {archive.stem}, one worker on one core ({ROUNDS} rounds of {CALLS} calls)"
    for way in ways:
        slower = statistics.median(
            mine / theirs for mine, theirs in zip(medians[way], medians["in-process"], strict=True)
        )
        rate = statistics.median(rates[way])
        relative = statistics.median(
            mine / theirs for mine, theirs in zip(rates[way], rates["in-process"], strict=True)
        )
        table.add_row(
            way,
            f"{statistics.median(spent[way]):.1f}",
            f"{statistics.quantiles(spent[way], n=20)[-1]:.1f}",
            f"{slower:.2f}",
            f"{rate:.0f}" + (" (1 caller)" if way == "in-process" else ""),
            f"{relative:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
