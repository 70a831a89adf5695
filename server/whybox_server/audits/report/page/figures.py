"""The geometry of the figures: places on an axis in percent of its width, so that the page draws them at any width."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whybox_server.audits.criticism.pictures import Floats

POINTS = 120
"""A strip shows at most this many pictures of a group."""

# The distances below this quantile of all are drawn at the left end.
_SMALLEST = 0.02
# The axis of distances ends here; pictures without a found change stand beyond it.
_END, _NOT_FOUND = 94.0, 98.0
# Dots of a strip lie at these heights, in percent, in turn.
_HEIGHTS = (50.0, 30.0, 70.0, 40.0, 60.0, 22.0, 78.0)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in percent of its width, and what it says."""

    x: float
    text: str


@dataclass(frozen=True)
class Forest:
    """The axis of effects, from -limit to limit.

    Attributes:
        limit: Its end, above 0 and at most 1.
        threshold: The effect beyond which an interval must lie.
    """

    limit: float
    threshold: float

    @classmethod
    def around(cls, flags: Sequence[Mapping[str, Any]], threshold: float) -> "Forest":
        """The axis that holds the intervals of some flags, in steps of 0.2."""
        widest = max([threshold, *(abs(flag[end]) for flag in flags for end in ("ci_low", "ci_high"))])
        return cls(min(math.ceil(widest * 5) / 5, 1.0), threshold)

    def x(self, effect: float) -> float:
        """The place of an effect, 0 to 100."""
        return round(50 + 50 * max(-1.0, min(effect / self.limit, 1.0)), 2)

    @property
    def ticks(self) -> list[Tick]:
        """Both ends, zero, and the middles between them."""
        effects = [share * self.limit for share in (-1, -0.5, 0, 0.5, 1)]
        return [Tick(self.x(effect), f"{effect:+.2g}" if effect else "0") for effect in effects]


@dataclass(frozen=True)
class Dot:
    """A picture: its place across and down, in percent; whether a change was found."""

    x: float
    y: float
    found: bool


@dataclass(frozen=True)
class Strip:
    """The distances of a group.

    Attributes:
        n: Number of its pictures.
        not_found: Number of those without a found change.
        median: Their median; None if it lies beyond the changes that were found.
        quartiles: The places of the quartiles and the median.
        dots: At most `POINTS` pictures, evenly by rank.
    """

    n: int
    not_found: int
    median: float | None
    quartiles: tuple[float, float, float]
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Strips:
    """The distances of two groups on one logarithmic axis.

    Attributes:
        having: The group with the value.
        others: The group without it.
        ticks: Powers of ten.
    """

    having: Strip
    others: Strip
    ticks: tuple[Tick, ...]


def strips(having: Floats, others: Floats) -> Strips:
    """The distances of two groups; see `Measurements.distances`.

    Args:
        having: [N], N at least 1, each above 0.
        others: [M], likewise.
    """
    both = np.concatenate([having, others])
    found = both[np.isfinite(both)]
    if not len(found):
        found = np.ones(1)
    low = math.floor(math.log10(np.quantile(found, _SMALLEST, method="inverted_cdf")))
    high = max(math.ceil(math.log10(found.max())), low + 1)

    def x(distance: float) -> float:
        if math.isinf(distance):
            return _NOT_FOUND
        return round(max(_END * (math.log10(distance) - low) / (high - low), 0.5), 2)

    def strip(distances: Floats) -> Strip:
        ranked = np.sort(distances)
        shown = ranked[np.linspace(0, len(ranked) - 1, min(len(ranked), POINTS)).round().astype(int)]
        median = float(np.median(ranked))
        # Interpolation is not defined between a number and infinity.
        first, last = (float(np.quantile(ranked, share, method="inverted_cdf")) for share in (0.25, 0.75))
        return Strip(
            n=len(ranked),
            not_found=int(np.isinf(ranked).sum()),
            median=median if math.isfinite(median) else None,
            quartiles=(x(first), x(median), x(last)),
            dots=tuple(
                Dot(x(float(distance)), _HEIGHTS[place % len(_HEIGHTS)], bool(np.isfinite(distance)))
                for place, distance in enumerate(shown)
            ),
        )

    step = max(1, math.ceil((high - low) / 5))
    ticks = tuple(Tick(x(10.0**power), f"10{str(power).translate(_SUPERSCRIPTS)}") for power in range(low, high, step))
    return Strips(strip(having), strip(others), ticks)
