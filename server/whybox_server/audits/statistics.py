"""Robust accuracy, medians and their intervals: pure functions of distances.

The distance of a picture is the size of the smallest change found that makes the prediction wrong. It is 0 if the
prediction is wrong without a change, and infinite if no such change was found.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Level of every interval."""

RESAMPLES = 2000
"""Resamples of a bootstrap."""

BLOCK = 100_000
"""Resamples and permutations are drawn in blocks of at most this many values, to bound memory."""

# Two-sided quantile of the normal distribution.
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_POINTS_PER_DECADE = 20


@dataclass(frozen=True)
class Estimate:
    """A value and its interval at the level `CONFIDENCE`.

    Attributes:
        value: The estimate; infinite if it lies beyond every change that was found.
        low: Lower end of the interval.
        high: Upper end; infinite like `value`.
    """

    value: float
    low: float
    high: float


def robust_counts(distances: Array, radii: Array) -> npt.NDArray[np.int64]:
    """The number of pictures that stay right under changes up to each radius: those with distance > radius.

    Args:
        distances: [N], as the module defines them.
        radii: [R], each at least 0. Radius 0 counts the pictures that are right without a change.

    Returns:
        [R], each 0 to N.
    """
    return len(distances) - np.searchsorted(np.sort(distances), radii, side="right")


def wilson(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Array, Array]:
    """Wilson's score interval for a proportion (Wilson, JASA 1927, doi:10.2307/2276774).

    Args:
        successes: Any shape, each 0 to its number of trials.
        trials: Of a shape that fits, each at least 1.

    Returns:
        The lower and the upper ends, each of the shape of `successes`, in [0, 1].
    """
    trials = np.asarray(trials, dtype=np.float64)
    share = np.asarray(successes, dtype=np.float64) / trials
    spread = _Z * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    centre = share + _Z**2 / (2 * trials)
    scale = 1 + _Z**2 / trials
    # The ends can be exactly 0 and 1; rounding must not carry them beyond.
    return np.clip((centre - spread) / scale, 0, 1), np.clip((centre + spread) / scale, 0, 1)


def proportion(successes: int, trials: int) -> Estimate:
    """The share `successes` / `trials` with Wilson's interval; `trials` is at least 1."""
    low, high = wilson(successes, trials)
    return Estimate(successes / trials, float(low), float(high))


def median(distances: Array, seed: int) -> Estimate:
    """The median with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Infinite distances are censored and sort last, so a finite median is exact. A single distance says nothing about
    others: its interval is 0 to infinity.

    Args:
        distances: [N], N at least 1, none of them NaN.
        seed: Seed of the resampling.
    """
    number = len(distances)
    if number == 1:
        return Estimate(float(distances[0]), 0.0, math.inf)
    generator = np.random.default_rng(seed)
    rows = max(BLOCK // number, 1)
    medians = np.concatenate(
        [
            np.median(distances[generator.integers(number, size=(min(rows, RESAMPLES - start), number))], axis=1)
            for start in range(0, RESAMPLES, rows)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    # Interpolation is not defined between a number and infinity.
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(float(np.median(distances)), float(low), float(high))


def radius_grid(distances: Array) -> Array:
    """The radii of a curve: 0, and 20 radii per decade, 10 ** (i / 20), around all distances.

    The first of these lies below the smallest distance and the last above the largest. All curves use points of the
    same grid, so curves of different models and data sets can be compared.

    Args:
        distances: [N]; distances that are 0 or infinite are ignored.

    Returns:
        [R], ascending; 0 alone if every distance is ignored.
    """
    finite = distances[(distances > 0) & np.isfinite(distances)]
    if not len(finite):
        return np.zeros(1)
    first = np.floor(np.log10(finite.min()) * _POINTS_PER_DECADE) - 1
    last = np.ceil(np.log10(finite.max()) * _POINTS_PER_DECADE) + 1
    return np.concatenate([[0.0], 10 ** (np.arange(first, last + 1) / _POINTS_PER_DECADE)])
