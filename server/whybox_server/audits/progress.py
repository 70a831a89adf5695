"""The progress of an audit, on a terminal or in a log."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from whybox_server.audits.audit import Progress
from whybox_server.audits.journal import Record
from whybox_server.audits.robust_accuracy.summary import distance_of

# Time between two lines in a log.
_LINE_SECONDS = 30.0


class ProgressDisplay:
    """Shows a progress bar on a terminal; otherwise prints a line every 30 seconds.

    Args:
        console: The terminal or log to write to.
        norm: Norm of the median distance that is shown.
    """

    def __init__(self, console: Console, norm: str) -> None:
        self._console = console
        self._norm = norm
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("loading the model", total=None)
        self._began = self._printed = time.monotonic()
        self._distances: list[float] = []
        self._progress = Progress(0, 0, 0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def progress(self) -> Progress:
        """The progress that was last shown."""
        return self._progress

    def show(self, progress: Progress, records: Sequence[Record]) -> None:
        """Shows progress; the `report` of `measure_pictures`.

        Args:
            progress: How far the audit is.
            records: The records that are new since the last call.
        """
        self._progress = progress
        self._distances += [distance_of(record, self._norm) for record in records if record.measured]
        if self._console.is_terminal:
            self._bar.update(
                self._task, total=progress.total, completed=progress.done, description=self._so_far() or "loading"
            )
        elif time.monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = time.monotonic()
            seconds = (self._printed - self._began) / max(progress.done - progress.kept, 1)
            left = f"{seconds * (progress.total - progress.done) / 60:.1f} min left"
            self._console.print(f"{progress.done}/{progress.total} pictures, {left}; {self._so_far()}", soft_wrap=True)

    def _so_far(self) -> str:
        distances = np.array(self._distances)
        if not len(distances):
            return ""
        text = f"so far {np.mean(distances > 0):.1%} right"
        if (distances > 0).any():
            text += f", median {self._norm} distance {np.median(distances[distances > 0]):.2g}"
        return text
