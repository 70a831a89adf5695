"""Driving coroutines that await passes.

`run` computes what they wait for together, batch by batch, and looks between batches whether somebody's time is over or
somebody's caller is gone.

Batches are so small that the kernels of torch and ONNX Runtime give each row the same bits whatever its neighbours are
(seen with oneDNN up to 8 rows): a map does not depend on who else was in the batch.
"""

import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from whybox.v1 import errors
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Wanted

T = TypeVar("T")

# On a processor larger batches are no faster per row, leave its cache, and round differently.
_ROWS = {"cpu": 4, "cuda": 64}


@dataclass
class Task(Generic[T]):
    """One coroutine to be driven by `run`.

    Attributes:
        coroutine: Awaits nothing but passes.
        limits: When it is stopped.
        outcome: What it returned, or why it did not; None until then.
        seconds: Computing time, with its share of the passes.
    """

    coroutine: Coroutine[Any, Any, T]
    limits: Limits
    outcome: T | Exception | None = None
    seconds: float = field(default=0.0)

    def result(self) -> T:
        """What the coroutine returned.

        Raises:
            Exception: What it raised.
        """
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return cast("T", self.outcome)


class _Row(NamedTuple):
    """One row of what a task waits for."""

    task: int
    number: int


def run(classifier: Classifier, tasks: Sequence[Task[T]]) -> None:
    """Drives coroutines to their ends and sets their outcomes.

    One that fails ends alone; the others go on. Where the limits of one say stop, every pass that it awaits raises what
    `Limits.check` does: it may catch that and return what it has.
    """
    waiting: dict[int, Wanted] = {}

    def resume(index: int, answer: tuple[Tensor, ...] | Exception | None) -> None:
        started = time.perf_counter()
        task = tasks[index]
        answer = _stop(task.limits) or answer
        try:
            if isinstance(answer, Exception):
                waiting[index] = task.coroutine.throw(answer)
            else:
                waiting[index] = task.coroutine.send(answer)
        except StopIteration as end:
            task.outcome = end.value
        except Exception as error:  # noqa: BLE001 (whose it is, the caller tells apart)
            task.outcome = error
        task.seconds += time.perf_counter() - started

    for index in range(len(tasks)):
        resume(index, None)
    while waiting:
        # The computation of whoever waits longest, for all who wait for the same.
        compute = next(iter(waiting.values())).compute
        together = {index: wanted for index, wanted in waiting.items() if wanted.compute is compute}
        for index in together:
            del waiting[index]
        for index, answer in _computed(classifier, tasks, together).items():
            resume(index, answer)


def run_one(classifier: Classifier, coroutine: Coroutine[Any, Any, T]) -> T:
    """Drives one coroutine, without limits, and returns what it does.

    Raises:
        Exception: What it raises.
    """
    task = Task(coroutine, Limits())
    run(classifier, [task])
    return task.result()


def _stop(limits: Limits) -> errors.WhyboxError | None:
    """Why the work must stop, if it must."""
    try:
        limits.check()
    except errors.WhyboxError as stop:
        return stop
    return None


def _computed(
    classifier: Classifier, tasks: Sequence[Task[Any]], together: Mapping[int, Wanted]
) -> dict[int, tuple[Tensor, ...] | Exception]:
    """What each of `together` waits for, computed in common batches; or why it cannot be."""
    failures: dict[int, Exception] = {}
    answers: dict[int, list[tuple[Tensor, ...]]] = {index: [] for index in together}
    rows = [_Row(index, row) for index, wanted in together.items() for row in range(len(wanted))]
    size = _ROWS[classifier.device.type]
    while rows:
        for index in {row.task for row in rows[:size]}:
            if (stop := _stop(tasks[index].limits)) is not None:
                failures[index] = stop
        rows = [row for row in rows if row.task not in failures]
        batch, rows = rows[:size], rows[size:]
        started = time.perf_counter()
        for part, computed in _attempted(classifier, together, batch):
            if isinstance(computed, Exception):
                failures[part[0].task] = computed
                continue
            for row, answer in zip(part, zip(*computed, strict=True), strict=True):
                answers[row.task].append(answer)
        for row in batch:
            tasks[row.task].seconds += (time.perf_counter() - started) / len(batch)
    return {
        index: failures.get(index) or tuple(torch.stack(column) for column in zip(*each, strict=True))
        for index, each in answers.items()
    }


def _attempted(
    classifier: Classifier, together: Mapping[int, Wanted], batch: Sequence[_Row]
) -> Iterator[tuple[Sequence[_Row], tuple[Tensor, ...] | Exception]]:
    """The batch computed at once or, where that fails, each task's part of it alone."""
    if not batch:
        return
    wanted = together[batch[0].task]
    arguments = [
        torch.stack([together[row.task].rows[position][row.number] for row in batch])
        for position in range(len(wanted.rows))
    ]
    try:
        yield batch, wanted.compute(classifier, *arguments)
    except Exception as error:  # noqa: BLE001 (an explainer may ask for what the network cannot do)
        members = {row.task for row in batch}
        if len(members) == 1:
            yield batch, error
            return
        for member in members:
            yield from _attempted(classifier, together, [row for row in batch if row.task == member])
