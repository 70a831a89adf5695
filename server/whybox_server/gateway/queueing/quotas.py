"""How much computing each caller may use."""

import math
import time
from collections.abc import Callable

from whybox.v1.errors import QuotaExceededError

_MINUTE = 60.0
# Callers that are remembered; who has used nothing of its quota is forgotten.
_SWEEP = 1000


class Quotas:
    """Seconds of computing by caller. Each has the quota of a minute in stock, and gets it back within a minute.

    A call is let in while anything is left, and charged when it is known what it took: the stock may fall below zero.

    Args:
        seconds: Computing time that a caller may use in a minute, on average, above 0.
        clock: Seconds on any steady clock.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        # By caller: what is left in stock, and when that was so.
        self._left: dict[str, tuple[float, float]] = {}

    def check(self, caller: str) -> None:
        """Lets a caller in.

        Raises:
            QuotaExceededError: Nothing is left; says when something will be.
        """
        left = self._left_now(caller)
        if left <= 0:
            seconds = max(1, math.ceil(-left / self._seconds * _MINUTE))
            raise QuotaExceededError(
                f"you have used your quota of {self._seconds:g} s of computing per minute; try again in {seconds} s, or"
                " ask the people who run the server for more",
                retry_after=float(seconds),
            )

    def charge(self, caller: str, seconds: float) -> None:
        """Charges computing time."""
        self._left[caller] = self._left_now(caller) - seconds, self._clock()
        if len(self._left) > _SWEEP:
            self._left = {name: kept for name, kept in self._left.items() if self._left_now(name) < self._seconds}

    def _left_now(self, caller: str) -> float:
        left, then = self._left.get(caller, (self._seconds, 0.0))
        return min(left + self._seconds * (self._clock() - then) / _MINUTE, self._seconds)
