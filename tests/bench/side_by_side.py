"""Several ways to the same thing, measured side by side on the same pictures."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from rich.progress import track

from whybox_handlers.models.archives import load_archive
from whybox_handlers.models.classifier import Classifier
from whybox_server.packing.pack import pack_model

REPOSITORY = Path(__file__).parents[2]

SubjectT = TypeVar("SubjectT")
AnswerT = TypeVar("AnswerT")


def default_model() -> Classifier:
    """EfficientNet-Lite0 as a worker has it; packed first, if the code has changed since."""
    store = REPOSITORY / "model_store"
    return load_archive(pack_model(store / "efficientnet-lite0.yaml", store, print).archive)


@dataclass
class Measured(Generic[AnswerT]):
    """One way, picture by picture."""

    milliseconds: list[float] = field(default_factory=list)
    answers: list[AnswerT] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.milliseconds)


def in_turn(
    ways: Mapping[str, Callable[[SubjectT], AnswerT]], subjects: Sequence[SubjectT], rounds: int = 1
) -> dict[str, Measured[AnswerT]]:
    """Each way on each picture, `rounds` times, after one that does not count; the answers are the last round's.

    The ways take turns picture by picture, so that whatever else the machine does hits them alike.
    """
    measured: dict[str, Measured[AnswerT]] = {name: Measured() for name in ways}
    for way in ways.values():
        way(subjects[0])
    for _ in range(rounds):
        for each in measured.values():
            each.answers.clear()
        for subject in track(subjects, "measuring", transient=True):
            for name, way in ways.items():
                started = time.perf_counter()
                answer = way(subject)
                measured[name].milliseconds.append(1000 * (time.perf_counter() - started))
                measured[name].answers.append(answer)
    return measured
