"""Driving coroutines that await passes.

`run` computes what they wait for together, batch by batch, and checks the limits of every task between batches. There
it may also be told to pause: the tasks keep what they have, and a later `run` goes on with it.

Batches on a processor are small enough that each row gets the same bits whatever its neighbours are (see
`batch_sizes`): a map does not depend on the other pictures of the batch.
"""

import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from whybox.v1 import errors
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Clock, Limits, Wanted
from whybox_handlers.passes.batch_sizes import batch_size

T = TypeVar("T")


@dataclass(eq=False)
class Task(Generic[T]):
    """One coroutine to be driven by `run`.

    Attributes:
        coroutine: Awaits nothing but passes.
        limits: When it must stop.
        outcome: What it returned, or the error that it raised; None until then.
        seconds: Computing time, its share of the passes included.
        wanted: What it waits for; None before it begins and after it ends.
        computed: The rows of that which are computed.
        ended: Whether `outcome` is set.
    """

    coroutine: Coroutine[Any, Any, T]
    limits: Limits
    outcome: T | Exception | None = None
    seconds: float = field(default=0.0)
    wanted: Wanted | None = None
    computed: list[tuple[Tensor, ...]] = field(default_factory=list)
    ended: bool = False

    @property
    def awaited(self) -> Wanted:
        """What it waits for; it has begun and not ended."""
        return cast("Wanted", self.wanted)

    def result(self) -> T:
        """What the coroutine returned.

        Raises:
            Exception: What it raised.
        """
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return cast("T", self.outcome)

    def resume(self, answer: tuple[Tensor, ...] | Exception | None, clock: Clock) -> None:
        """Drives the coroutine to the next pass that it awaits, or to its end.

        Args:
            answer: What it waits for, or why there is none; None at its beginning.
            clock: Measures `seconds`.
        """
        started = clock()
        answer = _stop(self.limits) or answer
        self.wanted, self.computed = None, []
        try:
            if isinstance(answer, Exception):
                self.wanted = self.coroutine.throw(answer)
            else:
                self.wanted = self.coroutine.send(answer)
        except StopIteration as end:
            self.outcome, self.ended = end.value, True
        except Exception as error:  # noqa: BLE001 (the caller decides what it means)
            self.outcome, self.ended = error, True
        self.seconds += clock() - started


def run(
    classifier: Classifier,
    tasks: Sequence[Task[T]],
    clock: Clock = time.perf_counter,
    pauses: Callable[[], bool] = lambda: False,
) -> None:
    """Drives coroutines to their ends and sets their outcomes.

    A coroutine that fails does not affect the others. Once its limits say stop, every pass that it awaits raises what
    `Limits.check` raises; it may catch that and return what it has.

    Args:
        classifier: Computes the passes.
        tasks: The coroutines, begun or not.
        clock: Measures `Task.seconds`.
        pauses: Asked after each batch; if it says so, `run` returns before all have ended.
    """
    waiting: list[Task[T]] = []

    def resume(task: Task[T], answer: tuple[Tensor, ...] | Exception | None) -> None:
        task.resume(answer, clock)
        if not task.ended:
            # Behind the others: their computation comes first.
            waiting.append(task)

    for task in tasks:
        if task.wanted is not None:
            waiting.append(task)
        elif not task.ended:
            resume(task, None)
    while waiting:
        # Who is stopped may wait again: nothing is computed for that either.
        while stopped := [(task, stop) for task in waiting if (stop := _stop(task.limits)) is not None]:
            for task, stop in stopped:
                waiting.remove(task)
                resume(task, stop)
        batch = _batch(classifier, waiting)
        failures = _computed(classifier, batch, clock)
        for task in dict.fromkeys(row.task for row in batch):
            if task in failures or len(task.computed) == len(task.awaited):
                waiting.remove(task)
                resume(task, failures.get(task) or tuple(map(torch.stack, zip(*task.computed, strict=True))))
        if pauses():
            return


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


class _Row(NamedTuple):
    """One row of what a task waits for."""

    task: Task[Any]
    number: int


def _batch(classifier: Classifier, waiting: Sequence[Task[Any]]) -> list[_Row]:
    """The next rows of the task that waits longest, and of those that wait for the same computation."""
    if not waiting:
        return []
    compute = waiting[0].awaited.compute
    rows = (
        _Row(task, number)
        for task in waiting
        if task.awaited.compute is compute
        for number in range(len(task.computed), len(task.awaited))
    )
    return list(islice(rows, batch_size(classifier, compute)))


def _computed(classifier: Classifier, batch: Sequence[_Row], clock: Clock) -> dict[Task[Any], Exception]:
    """Computes a batch and charges its time; the errors of the tasks for which that fails."""
    failures: dict[Task[Any], Exception] = {}
    started = clock()
    for rows, computed in _attempted(classifier, batch):
        if isinstance(computed, Exception):
            failures[rows[0].task] = computed
            continue
        for row, answer in zip(rows, zip(*computed, strict=True), strict=True):
            row.task.computed.append(answer)
    for row in batch:
        row.task.seconds += (clock() - started) / len(batch)
    return failures


def _attempted(
    classifier: Classifier, batch: Sequence[_Row]
) -> Iterator[tuple[Sequence[_Row], tuple[Tensor, ...] | Exception]]:
    """The batch computed at once or, if that fails, each task's part of it alone."""
    if not batch:
        return
    wanted = batch[0].task.awaited
    arguments = [
        torch.stack([row.task.awaited.rows[position][row.number] for row in batch])
        for position in range(len(wanted.rows))
    ]
    try:
        yield batch, wanted.compute(classifier, *arguments)
    except Exception as error:  # noqa: BLE001 (an explainer may ask for what the network cannot do)
        members = dict.fromkeys(row.task for row in batch)
        if len(members) == 1:
            yield batch, error
            return
        for member in members:
            yield from _attempted(classifier, [row for row in batch if row.task is member])
