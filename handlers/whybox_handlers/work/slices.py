"""Work in slices: a worker that holds long work is free for other work again within a second, or at the next pass.

Unfinished work stays here, in the worker's memory, under the ticket that the gateway gave it, until its next slice.
"""

from collections.abc import Sequence
from pathlib import Path

from whybox import v1
from whybox_handlers.passes.account import Clock
from whybox_handlers.work.analyzer import Analyzer, Unit

SLICE_SECONDS = 1.0
"""How long a slice lasts at the most, up to the pass that is under way then."""


class Slices:
    """Answers work for one classifier, and keeps what is unfinished.

    Args:
        analyzer: Does the work.
        clock: Seconds since the epoch; the analyzer's.
    """

    def __init__(self, analyzer: Analyzer, clock: Clock) -> None:
        self._analyzer = analyzer
        self._clock = clock
        # By ticket, with the time at which it was put aside.
        self._kept: dict[str, tuple[Unit, float]] = {}

    def answer(self, batch: Sequence[v1.Work]) -> list[v1.WorkResult]:
        """One result per unit of work, in order: final, kept under its ticket, or of a ticket that is not known here.

        Work without a ticket is done to its end.
        """
        self._forget()
        begun = iter(self._analyzer.begin([work for work in batch if not work.go_on]))
        units = [self._taken(work.ticket) if work.go_on else next(begun) for work in batch]
        sliced = [unit for unit in units if unit is not None and unit.work.ticket]
        until = self._clock() + SLICE_SECONDS
        paths = [Path(unit.work.pause_path) for unit in sliced if unit.work.pause_path]
        self._analyzer.proceed(
            [unit for unit in units if unit is not None],
            lambda: bool(sliced) and (self._clock() >= until or any(path.exists() for path in paths)),
        )
        self._analyzer.proceed([unit for unit in units if unit is not None and not unit.work.ticket])
        return [v1.WorkResult(unknown_ticket=True) if unit is None else self._result(unit) for unit in units]

    def _result(self, unit: Unit) -> v1.WorkResult:
        if unit.done:
            return unit.answer()
        self._kept[unit.work.ticket] = unit, self._clock()
        return v1.WorkResult(kept=True, compute_ms=unit.compute_ms)

    def _taken(self, ticket: str) -> Unit | None:
        unit, since = self._kept.pop(ticket, (None, 0.0))
        if unit is not None:
            unit.limits.paused += self._clock() - since
        return unit

    def _forget(self) -> None:
        """Gives up work whose caller is gone."""
        for ticket, (unit, _) in list(self._kept.items()):
            if unit.limits.lease is not None and not unit.limits.lease.exists():
                del self._kept[ticket]
                unit.drop()
