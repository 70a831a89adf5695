"""The progress of results on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn


class ResultsProgress:
    """A bar with the time left for each part of a computation; nothing on what is no terminal.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, what: str, done: int, most: int) -> None:
        """The `report` of `compute`."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=most)
        self._bars.update(self._tasks[what], completed=done)
