"""The progress of an audit, on a terminal or in a log."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from whybox_server.audits.passes.journal import Record
from whybox_server.audits.passes.pool import Progress

# Time between two lines in a log.
_LINE_SECONDS = 30.0
# Time between two states of the bar.
_BAR_SECONDS = 0.1
_STEPS_PER_DECADE = 500


class ProgressDisplay:
    """Shows a progress bar on a terminal; otherwise prints a line every 30 seconds.

    The rate counts from the first picture that this run measured: before it, the workers load the model.

    Args:
        console: The terminal or log to write to.
        norm: Norm of the median distance that is shown; None for pictures that are not attacked.
        title: What is measured; "" for the pass itself.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, console: Console, norm: str | None, title: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._norm = norm
        self._title = f"{title}: " if title else ""
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(f"{self._title}loading the model", total=None, rate="")
        self._clock = clock
        self._began = self._printed = clock()
        self._before = 0
        self._right = self._measured = 0
        # Number of distances by their place on a logarithmic scale: a median without every distance in memory.
        self._distances: Counter[int] = Counter()
        self._unbounded = 0
        self._progress = Progress(0, 0, 0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress, records: Sequence[Record]) -> None:
        """Shows progress; the `report` of `measure_pictures`.

        Args:
            progress: How far the audit is.
            records: The records that are new since the last call.
        """
        self._progress = progress
        for record in records:
            self._note(record)
        now = self._clock()
        if self._before <= progress.kept:
            self._began, self._before = now, progress.done
        if self._console.is_terminal:
            if now - self._printed < _BAR_SECONDS and progress.done < progress.total:
                return
            self._printed = now
            self._bar.update(
                self._task,
                total=progress.total,
                completed=progress.done,
                rate=self._rate(),
                description=self._title + (self._so_far() or ("" if progress.done > progress.kept else "loading")),
            )
        elif now - self._printed >= _LINE_SECONDS:
            self._printed = now
            text = f"{self._title}{progress.done}/{progress.total} pictures"
            if rate := self._rate():
                left = self._seconds_each() * (progress.total - progress.done) / 60
                text += f", {rate}, {left:.1f} min left"
            self._console.print("; ".join(filter(None, (text, self._so_far()))), soft_wrap=True)

    def _rate(self) -> str:
        """Pictures per minute; "" before a second report of measured pictures."""
        return f"{60 / self._seconds_each():.3g}/min" if self._seconds_each() else ""

    def _seconds_each(self) -> float:
        """Time for each picture since the first that this run measured; 0 if it is not known yet."""
        measured = self._progress.done - self._before
        return (self._clock() - self._began) / measured if measured > 0 else 0.0

    def _note(self, record: Record) -> None:
        self._measured += record.measured
        self._right += record.right
        if self._norm is not None and record.right and (distance := record.norms[self._norm].distance) != 0:
            if distance is None:
                self._unbounded += 1
            else:
                self._distances[round(math.log10(distance) * _STEPS_PER_DECADE)] += 1

    def _so_far(self) -> str:
        if not self._measured:
            return ""
        text = f"so far {self._right / self._measured:.1%} right"
        if self._distances or self._unbounded:
            text += f", median {self._norm} distance {self._median():.2g}"
        return text

    def _median(self) -> float:
        left = (self._distances.total() + self._unbounded + 1) // 2
        for place, number in sorted(self._distances.items()):
            left -= number
            if left <= 0:
                return float(10 ** (place / _STEPS_PER_DECADE))
        return math.inf
