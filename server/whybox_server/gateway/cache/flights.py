"""Work that is under way, and for which callers that ask for the same may wait."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whybox.v1.errors import WhyboxError
from whybox_server.gateway.deadlines import Deadline, now

# Two callers that give the same time are told times that differ by the way and by what the reserve has learned.
_SAME_TIME = 1.1


@dataclass(frozen=True)
class Landed:
    """How a flight ended.

    Attributes:
        outcome: The serialized answer, or the error.
        cut_short: Whether the leader's deadline took part in it.
    """

    outcome: bytes | WhyboxError
    cut_short: bool


class Flight:
    """Work that a leader has begun."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._seconds = deadline.answer - now()
        self._landed: Landed | None = None
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether waiting is over."""
        return self._ended.is_set()

    def land(self, landed: Landed | None) -> None:
        """Ends the waiting; only the first call counts.

        Args:
            landed: None if the leader is gone.
        """
        if not self.ended:
            self._landed = landed
            self._ended.set()

    async def landed(self) -> Landed | None:
        """Waits for the end; None if the leader went away."""
        await self._ended.wait()
        return self._landed

    def is_as_patient_as(self, deadline: Deadline) -> bool:
        """Whether the leader has as much time as a caller that asks now: what its deadline cuts, that of this cuts."""
        return deadline.answer - now() <= _SAME_TIME * self._seconds

    def helps(self, deadline: Deadline) -> bool:
        """Whether a caller that asks now does as well to wait as to begin.

        The leader must come to its end before the caller's. If its time is shorter than the caller's and not enough,
        the caller must have as much time again.
        """
        again = deadline.answer - self._deadline.answer >= self._seconds
        return deadline.answer >= self._deadline.work and (again or self.is_as_patient_as(deadline))


class Flights:
    """The flights under way, one for each key."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}

    def helpful(self, key: bytes, deadline: Deadline) -> Flight | None:
        """The flight for which a caller with this deadline waits; None if it begins itself."""
        flight = self._flights.get(key)
        return flight if flight is not None and not flight.ended and flight.helps(deadline) else None

    @contextmanager
    def led(self, key: bytes, deadline: Deadline) -> Iterator[Flight]:
        """A new flight; its leader is gone at the end of the block. Nobody waits for it where there is another one."""
        flight = Flight(deadline)
        other = self._flights.get(key)
        if other is None or other.ended:
            self._flights[key] = flight
        try:
            yield flight
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.land(None)
