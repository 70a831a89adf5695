"""Memory of a worker over 2,000 mixed explanations: it must stay flat within 5 %.

The analyzer runs in this process as it does in a TorchServe worker, on one core, with one request after the other.
Methods differ in what the allocator keeps after them, by up to 200 MiB, so windows of whole rounds over the same
works are compared by their medians; their peaks are printed beside.
"""

import os
import sys
import tempfile
from itertools import cycle, product
from math import ceil
from pathlib import Path
from statistics import median

import psutil
import torch
from google.rpc import code_pb2
from rich.console import Console
from rich.progress import track

from whybox import v1
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.spec import load_spec
from whybox_handlers.work.analyzer import Analyzer
from whybox_server.packing.pack import pack_model

REPOSITORY = Path(__file__).parents[2]
EXPLANATIONS, WINDOWS = 2000, 10
# Small budgets: what leaks, leaks at every call, and the methods' loops are the same.
EVALUATIONS = 6


def requests(pictures: list[bytes]) -> list[v1.Work]:
    """One unit of work per method and way to encode, over all pictures in turn."""
    image = cycle(pictures)
    works = []
    for name, row in EXPLAINERS.items():
        if row.off_by_default:
            continue
        for encodings in (["uint8"], ["float32"], ["heat_map", "overlay"]):
            options = v1.ExplanationOptions(
                method=name, encodings=encodings, channels="sum", baseline=row.default_baseline, tolerance=0
            )
            if row.default_evaluations:
                options.max_evaluations = max(row.min_evaluations, EVALUATIONS)
            works.append(v1.Work(request=v1.AnalyzeRequest(image=next(image), explanations=[options])))
    quality = v1.ExplanationOptions(
        method="grad_cam", encodings=["uint8", "regions"], channels="sum", quality=["deletion", "stability"]
    )
    works.append(v1.Work(request=v1.AnalyzeRequest(image=next(image), explanations=[quality])))
    return works


def main() -> None:
    """Prints the resident memory along the way, and fails where it is not flat."""
    torch.set_num_threads(1)
    spec_path = REPOSITORY / "model_store" / "efficientnet-lite0.yaml"
    with tempfile.TemporaryDirectory() as store:
        analyzer = Analyzer(load_archive(pack_model(spec_path, Path(store), lambda _: None).archive))
    works = requests([path.read_bytes() for path in load_spec(spec_path).check_pictures.paths()])
    worker = psutil.Process(os.getpid())
    rounds = ceil(EXPLANATIONS / WINDOWS / len(works))
    resident: list[list[float]] = [[] for _ in range(WINDOWS)]
    for window, _, work in track(
        product(resident, range(rounds), works), "explaining", total=WINDOWS * rounds * len(works)
    ):
        (result,) = analyzer.answer([work])
        [part] = result.response.explanations
        if part.status.code != code_pb2.OK:
            sys.exit(f"{part.method}: {part.status.message}")
        window.append(worker.memory_info().rss / 2**20)
    medians = [median(window) for window in resident]
    drift = [each / medians[0] - 1 for each in medians]
    console = Console()
    console.print(f"resident MiB in {WINDOWS} windows of {rounds * len(works)} explanations:")
    console.print(f"median {', '.join(f'{each:.0f}' for each in medians)}")
    console.print(f"peak   {', '.join(f'{max(window):.0f}' for window in resident)}")
    console.print(f"medians from {min(drift):+.1%} to {max(drift):+.1%} of the first window's (must be within 5 %)")
    if max(map(abs, drift)) > 0.05:
        sys.exit("memory is not flat")


if __name__ == "__main__":
    main()
