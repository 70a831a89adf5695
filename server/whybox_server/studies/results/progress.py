"""How far a computation is."""

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Is told what is computed, how much of it is done, and the most that there is to do."""

REDRAWING = "redrawing pictures and annotators"
FITTING = "fitting hidden classes"


def unheard(what: str, done: int, most: int) -> None:
    """Reports to nobody."""


class Steps:
    """Counts what is done, and reports it.

    Args:
        report: Is told.
        what: What is computed.
        most: The most steps that there are.
    """

    def __init__(self, report: Report, what: str, most: int) -> None:
        self._report, self._what, self._most = report, what, most
        self._done = 0

    def advance(self, number: int) -> None:
        """Counts steps."""
        self._done += number
        self._report(self._what, self._done, self._most)

    def finish(self) -> None:
        """Says that no step is left."""
        self._report(self._what, self._most, self._most)
