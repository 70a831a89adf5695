"""Robust accuracy, medians and their intervals: pure functions of distances.

A picture's distance is the smallest size of change at which the answer is known to be wrong: 0 where it is wrong
without any change, infinite where no change was found that makes it so.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
# Two-sided quantile of the normal distribution for `CONFIDENCE`.
_Z = 1.959963984540054
_POINTS_PER_DECADE = 20
# Resamples are drawn in blocks of so many values at most, to bound memory.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at the level `CONFIDENCE`; infinite where it lies beyond what was found."""

    value: float
    low: float
    high: float


def robust_counts(distances: Array, radii: Array) -> npt.NDArray[np.int64]:
    """How many pictures stay right for changes of size up to each radius: those with distance > radius.

    Args:
        distances: [N], see the module.
        radii: [R], from 0; at 0 the pictures that are right without a change are counted.
    """
    return len(distances) - np.searchsorted(np.sort(distances), radii, side="right")


def wilson(successes: npt.ArrayLike, trials: int) -> tuple[Array, Array]:
    """Ends of Wilson's score interval for a proportion, in [0, 1] (Wilson, JASA 1927, doi:10.2307/2276774).

    Args:
        successes: Any shape, each 0 to `trials`.
        trials: At least 1.
    """
    share = np.asarray(successes, dtype=np.float64) / trials
    spread = _Z * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    centre = share + _Z**2 / (2 * trials)
    scale = 1 + _Z**2 / trials
    # Rounding must not carry the ends beyond 0 and 1, which they reach exactly.
    return np.clip((centre - spread) / scale, 0, 1), np.clip((centre + spread) / scale, 0, 1)


def proportion(successes: int, trials: int) -> Estimate:
    """A share with Wilson's interval; `trials` is at least 1."""
    low, high = wilson(successes, trials)
    return Estimate(successes / trials, float(low), float(high))


def median(distances: Array, seed: int) -> Estimate:
    """The median with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Infinite distances, which are censored, sort last: the median is exact as long as it is finite. One distance says
    nothing of others: its interval is 0 to infinity.

    Args:
        distances: [N], N at least 1, none of them NaN.
        seed: Of the resampling.
    """
    number = len(distances)
    if number == 1:
        return Estimate(float(distances[0]), 0.0, math.inf)
    generator = np.random.default_rng(seed)
    rows = max(_BLOCK // number, 1)
    medians = np.concatenate(
        [
            np.median(distances[generator.integers(number, size=(min(rows, RESAMPLES - start), number))], axis=1)
            for start in range(0, RESAMPLES, rows)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    # No interpolation, which is not defined between a number and infinity.
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(float(np.median(distances)), float(low), float(high))


def radius_grid(distances: Array) -> Array:
    """Radii to tell the curve at: 0 and 20 per decade, 10 ** (i / 20), from below the smallest to above the largest.

    The points are the same for every model and data set, so that curves can be compared.

    Args:
        distances: [N]; those that are 0 or infinite have no say.
    """
    finite = distances[(distances > 0) & np.isfinite(distances)]
    if not len(finite):
        return np.zeros(1)
    first = np.floor(np.log10(finite.min()) * _POINTS_PER_DECADE) - 1
    last = np.ceil(np.log10(finite.max()) * _POINTS_PER_DECADE) + 1
    return np.concatenate([[0.0], 10 ** (np.arange(first, last + 1) / _POINTS_PER_DECADE)])
