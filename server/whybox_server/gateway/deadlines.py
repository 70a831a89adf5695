"""When a call is answered: the one place that decides how long before the caller's deadline its answer sets out.

A caller hangs up at its deadline, whatever the server has found by then. So the gateway answers a reserve earlier, with
what there is; workers stop before that, and work that can end at any time plans to end earlier still. Pools and workers
add no reserve of their own.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from whybox import v1
from whybox.v1.errors import DeadlineExceededError

# The least reserve, in seconds and as a share of the time that the caller waits.
_LEAST_SECONDS = 0.3
_LEAST_SHARE = 0.05
# Of the time that assembling and sending an answer was seen to take, and of the time that the caller waits.
_CAUTION = 2.0
_MOST_SHARE = 0.5
# What the last answers took is forgotten at this rate, per answer.
_FORGOTTEN = 0.1
# Shares of the reserve that lie between the end of the workers' time, or their aim, and the answer.
_WORK_EARLIER = 0.25
_AIM_EARLIER = 0.5


def now() -> float:
    """Seconds on the clock of the event loop, by which all deadlines of the gateway are told."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Deadline:
    """The times of one call, in seconds on the clock of `now`.

    Attributes:
        answer: The gateway answers with what there is.
        work: Workers stop.
        aim: Work that can end at any time plans to be done.
    """

    answer: float
    work: float
    aim: float

    def stamp(self, work: v1.Work) -> None:
        """Tells a worker its times."""
        since_epoch = time.time() - now()
        work.deadline.CopyFrom(_timestamp(since_epoch + self.work))
        work.aim.CopyFrom(_timestamp(since_epoch + self.aim))

    @asynccontextmanager
    async def awaited(self, message: str) -> AsyncIterator[None]:
        """Runs its body until the answer is due; without any time left the body is not begun.

        Args:
            message: What the error says.

        Raises:
            DeadlineExceededError: The answer is due.
        """
        late = DeadlineExceededError(message)
        if self.answer <= now():
            raise late
        try:
            async with asyncio.timeout_at(self.answer):
                yield
        except TimeoutError:
            raise late from None


class Reserve:
    """How long before a caller's deadline its answer sets out; it learns what assembling and sending answers takes."""

    def __init__(self) -> None:
        self._learned = 0.0

    def learn(self, seconds: float) -> None:
        """Notes what one answer took to be assembled and sent."""
        self._learned = max(seconds, (1 - _FORGOTTEN) * self._learned)

    def deadline(self, timeout: float) -> Deadline:
        """The times of a call that begins now.

        Args:
            timeout: Seconds that the caller waits.
        """
        wanted = max(_LEAST_SECONDS, _LEAST_SHARE * timeout, _CAUTION * self._learned)
        reserve = min(wanted, _MOST_SHARE * timeout)
        answer = now() + timeout - reserve
        return Deadline(answer, answer - _WORK_EARLIER * reserve, answer - _AIM_EARLIER * reserve)


def _timestamp(seconds: float) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromNanoseconds(int(seconds * 1e9))
    return timestamp
