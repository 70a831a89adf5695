"""Who is next, and who comes before a newcomer.

The work with the least expected remaining cost is first, as in shortest-remaining-time scheduling, which keeps the mean
wait as short as any order can. Two things temper it. Work counts with all that comes before it of the same caller, and
with what the caller has lately used more than others, so that nobody waits for another's flood. And work that waits
gains: its cost counts half after `AGEING_SECONDS`, a third after twice that.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

AGEING_SECONDS = 5.0
# Expectations are not exact: at least this share of the whole is taken to be left.
_LEFT = 0.2
_LEAST_SECONDS = 1e-4
# What a caller has used counts less by a factor of e after so many seconds.
_FORGOTTEN_SECONDS = 10.0
# Work that has so little time left is answered with what it has found, which takes a pass or two.
_URGENT_SECONDS = 1.2


@dataclass(eq=False)
class Ranked:
    """What the order knows of some work; times are seconds on one clock.

    Attributes:
        caller: Who asked for it.
        expected: Computing time of the whole.
        since: When it began to wait.
        aim: When it plans to be done.
        spent: Computing time so far.
    """

    caller: str
    expected: float
    since: float
    aim: float
    spent: float = 0.0

    @property
    def remaining(self) -> float:
        """Expected computing time that is left, seconds."""
        return max(self.expected - self.spent, _LEFT * max(self.expected, self.spent), _LEAST_SECONDS)

    def is_urgent(self, now: float) -> bool:
        """Whether it has begun, and what it has found is lost unless it goes on now."""
        return self.spent > 0 and self.aim - now < _URGENT_SECONDS

    def patience(self, now: float) -> float:
        """By what its cost is divided."""
        return 1 + max(now - self.since, 0.0) / AGEING_SECONDS


class Usage:
    """Computing time that callers have lately used; what is longer ago counts less."""

    def __init__(self) -> None:
        # By caller, with the time at which it was that.
        self._seconds: dict[str, tuple[float, float]] = {}

    def add(self, caller: str, seconds: float, now: float) -> None:
        """A caller has used computing time."""
        self._seconds[caller] = self.of(caller, now) + seconds, now

    def of(self, caller: str, now: float) -> float:
        """Seconds, from 0."""
        seconds, then = self._seconds.get(caller, (0.0, now))
        return seconds * math.exp((then - now) / _FORGOTTEN_SECONDS)


def ranks(works: Iterable[Ranked], usage: Usage, now: float) -> dict[Ranked, float]:
    """The rank of each, in seconds; the lowest is next."""
    of_callers: dict[str, list[Ranked]] = defaultdict(list)
    for work in works:
        of_callers[work.caller].append(work)
    used = {caller: usage.of(caller, now) for caller in of_callers}
    least = min(used.values(), default=0.0)
    ranked: dict[Ranked, float] = {}
    for caller, own in of_callers.items():
        before = used[caller] - least
        for work in sorted(own, key=lambda work: (work.remaining / work.patience(now), work.since)):
            before += work.remaining
            ranked[work] = 0.0 if work.is_urgent(now) else before / work.patience(now)
    return ranked


def seconds_before(newcomer: Ranked, works: Collection[Ranked], usage: Usage, now: float) -> float:
    """Computing time of all that is done before the newcomer."""
    ranked = ranks([*works, newcomer], usage, now)
    return sum(work.remaining for work in works if ranked[work] <= ranked[newcomer])
