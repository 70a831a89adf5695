"""The rate of a pass over real pictures beside the same attacks run bare, and with two workers of Ray beside one.

Rates are of what follows the first record: loading the model and starting Ray do not count. The ways take turns,
and medians of the rounds are compared.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from rich.console import Console

from whybox import v1
from whybox_handlers.audits.measuring import measure
from whybox_handlers.models.archives import load_archive
from whybox_server.audits.data.dataset import Choice
from whybox_server.audits.data.reading import read_data_set
from whybox_server.audits.passes.journal import JOURNAL, Journal, Record
from whybox_server.audits.passes.pool import Progress, Workers, measure_pictures
from whybox_server.audits.passes.workers import Work
from whybox_server.packing.pack import pack_model
from whybox_server.validation.archives import read_store
from whybox_server.validation.robustness import fill_robustness

REPOSITORY = Path(__file__).parents[2]


class Moments:
    """When pictures were done."""

    def __init__(self) -> None:
        self._moments: list[float] = []

    def note(self, number: int = 1) -> None:
        self._moments += [time.perf_counter()] * number

    def report(self, _progress: Progress, records: Sequence[Record]) -> None:
        """The `report` of `measure_pictures`."""
        self.note(len(records))

    @property
    def rate(self) -> float:
        """Pictures per second after the first."""
        return (len(self._moments) - 1) / (self._moments[-1] - self._moments[0])


def bare(work: Work, labels: Path, choice: Choice, model: v1.Model) -> float:
    """The rate of the attacks alone, in this process."""
    classifier = load_archive(work.archive)
    options = v1.RobustnessOptions.FromString(work.options or b"")
    moments = Moments()
    with read_data_set(work.folder, model.labels, labels, choice) as data:
        for picture in data.pictures():
            measure(classifier, [(work.folder / picture.file).read_bytes()], [picture.label], options, work.seed)
            moments.note()
    return moments.rate


def passed(work: Work, labels: Path, choice: Choice, model: v1.Model, workers: Workers) -> float:
    """The rate of a pass."""
    moments = Moments()
    with (
        tempfile.TemporaryDirectory() as save,
        read_data_set(work.folder, model.labels, labels, choice) as data,
        Journal(Path(save) / JOURNAL, {}) as journal,
    ):
        measure_pictures(work, data, journal, workers, moments.report)
    return moments.rate


def main() -> None:
    """Prints the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, help="folder with the packed efficientnet-lite0; default: it is packed")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    console = Console(highlight=False)
    data = os.environ.get("WHYBOX_DATA")
    if data is None:
        console.print("audits: left out, because WHYBOX_DATA does not name the folder with imagen and imagen.csv")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store: Path = asked.store or Path(folder)
        if asked.store is None:
            pack_model(REPOSITORY / "model_store" / "efficientnet-lite0.yaml", store, lambda _: None)
        [(archive, model)] = read_store(store, ["efficientnet-lite0"]).items()
        options = v1.RobustnessOptions(budget="fast")
        fill_robustness(options, model)
        labels = Path(data) / "imagen.csv"
        work = Work(archive, Path(data) / "imagen", options.SerializeToString(), 0, "cpu")
        choice = Choice(limit=asked.pictures)
        ways: dict[str, Callable[[], float]] = {"bare, 1 process": partial(bare, work, labels, choice, model)}
        for engine in ("processes", "ray"):
            for number in (1, 2):
                workers = Workers("ray" if engine == "ray" else "processes", number)
                ways[f"{engine}, {number}"] = partial(passed, work, labels, choice, model, workers)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                rates[name].append(way())
                console.print(f"{name}: {rates[name][-1]:.2f} pictures/s (load {os.getloadavg()[0]:.1f})")
    medians = {name: median(each) for name, each in rates.items()}
    for name, rate in medians.items():
        console.print(f"{name}: median {rate:.2f} pictures/s")
    for engine in ("processes", "ray"):
        one, two = medians[f"{engine}, 1"], medians[f"{engine}, 2"]
        console.print(
            f"{engine}: {one / medians['bare, 1 process']:.2f} of bare (asked 0.9), two workers {two / one:.2f} of one"
        )


if __name__ == "__main__":
    main()
