"""Work during which workers died: it is tried once more, alone, and then refused for ten minutes.

So that one picture cannot end a pool again and again.
"""

import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path

from whybox import v1
from whybox.v1.errors import FailedPreconditionError

_DEATHS = 2
_SECONDS = 600.0


class Suspects:
    """The work of one pool during which workers died.

    Args:
        clock: Seconds on any steady clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By work, how many workers died and when the last one did.
        self._deaths: dict[bytes, tuple[int, float]] = {}

    def check(self, work: v1.Work) -> None:
        """Lets work pass unless it ended two workers.

        Raises:
            FailedPreconditionError: It did, within the last ten minutes.
        """
        self._forget()
        if not self._deaths:
            return
        deaths, last = self._deaths.get(_digest(work), (0, 0.0))
        if deaths >= _DEATHS:
            minutes = math.ceil((last + _SECONDS - self._clock()) / 60)
            raise FailedPreconditionError(
                f"this work ended {deaths} worker processes, so it is refused for {minutes} more minutes; ask for less,"
                " or send another picture, and tell the people who run the server",
                reason="KILLED_WORKERS",
            )

    def accuse(self, work: v1.Work) -> None:
        """A worker died while it had this work."""
        key = _digest(work)
        self._deaths[key] = self._deaths.get(key, (0, 0.0))[0] + 1, self._clock()

    def acquit(self, work: v1.Work) -> None:
        """It was done: the worker died of something else."""
        if self._deaths:
            self._deaths.pop(_digest(work), None)

    def _forget(self) -> None:
        past = self._clock() - _SECONDS
        self._deaths = {key: (deaths, last) for key, (deaths, last) in self._deaths.items() if last > past}


def _digest(work: v1.Work) -> bytes:
    """Of what is asked: not of the call that asks, nor of the piece that is its turn."""
    asked = v1.Work(request=work.request, twin=work.twin if work.HasField("twin") else None)
    digest = hashlib.sha256(asked.SerializeToString(deterministic=True))
    if work.picture_path:
        # Gone with the caller: then the work is not done again either.
        path = Path(work.picture_path)
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.digest()
