"""Driving coroutines that await passes.

`run` computes what they wait for together, batch by batch, and checks the limits of every task between batches.

Batches on a processor are small enough that each row gets the same bits whatever its neighbours are (see
`batch_sizes`): a map does not depend on the other pictures of the batch.
"""

import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from whybox.v1 import errors
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Clock, Limits, Wanted
from whybox_handlers.passes.batch_sizes import batch_size

T = TypeVar("T")


@dataclass
class Task(Generic[T]):
    """One coroutine to be driven by `run`.

    Attributes:
        coroutine: Awaits nothing but passes.
        limits: When it must stop.
        outcome: What it returned, or the error that it raised; None until then.
        seconds: Computing time, its share of the passes included.
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


def run(classifier: Classifier, tasks: Sequence[Task[T]], clock: Clock = time.perf_counter) -> None:
    """Drives coroutines to their ends and sets their outcomes.

    A coroutine that fails does not affect the others. Once its limits say stop, every pass that it awaits raises what
    `Limits.check` raises; it may catch that and return what it has.

    Args:
        classifier: Computes the passes.
        tasks: The coroutines.
        clock: Measures `Task.seconds`.
    """
    waiting: dict[int, Wanted] = {}

    def resume(index: int, answer: tuple[Tensor, ...] | Exception | None) -> None:
        started = clock()
        task = tasks[index]
        answer = _stop(task.limits) or answer
        try:
            if isinstance(answer, Exception):
                waiting[index] = task.coroutine.throw(answer)
            else:
                waiting[index] = task.coroutine.send(answer)
        except StopIteration as end:
            task.outcome = end.value
        except Exception as error:  # noqa: BLE001 (the caller decides what it means)
            task.outcome = error
        task.seconds += clock() - started

    for index in range(len(tasks)):
        resume(index, None)
    while waiting:
        # The computation of the task that waits longest, for all tasks that wait for the same.
        compute = next(iter(waiting.values())).compute
        together = {index: wanted for index, wanted in waiting.items() if wanted.compute is compute}
        for index in together:
            del waiting[index]
        for index, answer in _computed(classifier, tasks, together, clock).items():
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
    """The reason to stop; None if the work may go on."""
    try:
        limits.check()
    except errors.WhyboxError as stop:
        return stop
    return None


def _computed(
    classifier: Classifier, tasks: Sequence[Task[Any]], together: Mapping[int, Wanted], clock: Clock
) -> dict[int, tuple[Tensor, ...] | Exception]:
    """What each of `together` waits for, computed in common batches; or the error that prevents it."""
    failures: dict[int, Exception] = {}
    answers: dict[int, list[tuple[Tensor, ...]]] = {index: [] for index in together}
    rows = [_Row(index, row) for index, wanted in together.items() for row in range(len(wanted))]
    size = batch_size(classifier, next(iter(together.values())).compute)
    while rows:
        for index in {row.task for row in rows[:size]}:
            if (stop := _stop(tasks[index].limits)) is not None:
                failures[index] = stop
        rows = [row for row in rows if row.task not in failures]
        batch, rows = rows[:size], rows[size:]
        started = clock()
        for part, computed in _attempted(classifier, together, batch):
            if isinstance(computed, Exception):
                failures[part[0].task] = computed
                continue
            for row, answer in zip(part, zip(*computed, strict=True), strict=True):
                answers[row.task].append(answer)
        seconds = clock() - started
        for row in batch:
            tasks[row.task].seconds += seconds / len(batch)
    return {
        index: failures.get(index) or tuple(torch.stack(column) for column in zip(*each, strict=True))
        for index, each in answers.items()
    }


def _attempted(
    classifier: Classifier, together: Mapping[int, Wanted], batch: Sequence[_Row]
) -> Iterator[tuple[Sequence[_Row], tuple[Tensor, ...] | Exception]]:
    """The batch computed at once or, if that fails, each task's part of it alone."""
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
