"""The numbers of the report, computed from the measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.audits.criticism.pictures import Measurements
from whybox_server.audits.statistics import (
    Array,
    Estimate,
    median,
    proportion,
    radius_grid,
    robust_counts,
    wilson,
)

SMALL = 10
"""A class with fewer pictures is marked as small: its numbers say little."""

CUSTOMARY = {"linf": np.array([1, 2, 4, 8]) / 255, "l2": np.array([0.5, 1.0, 3.0])}
"""Radii at which papers state robust accuracy, for values in [0, 1]."""


@dataclass(frozen=True)
class Curve:
    """Empirical robust accuracy against the radius: an upper bound.

    Attributes:
        radius: [R], ascending; the curve over all pictures begins at 0.
        accuracy: [R]: share of the pictures that are predicted correctly and for which no change up to the radius was
            found that makes the prediction wrong.
        low: [R]: lower end of the interval at each radius.
        high: [R]: upper end of the interval at each radius.
        unsearched: [R]: share of the pictures that count as robust although the attack tried no change of that size.
    """

    radius: Array
    accuracy: Array
    low: Array
    high: Array
    unsearched: Array


@dataclass(frozen=True)
class NormSummary:
    """The numbers of one norm.

    Attributes:
        curve: The curve over all pictures.
        customary: The same curve at the radii of `CUSTOMARY`.
        median: Median distance of the correctly predicted pictures; None if there are none.
        censored: Number of correctly predicted pictures for which no flip was found.
        unreliable: Number of correctly predicted pictures whose distance should not be relied on.
    """

    curve: Curve
    customary: Curve
    median: Estimate | None
    censored: int
    unreliable: int


@dataclass(frozen=True)
class Summary:
    """The numbers of some measured pictures.

    Attributes:
        pictures: Number of pictures, at least 1.
        right: Number of correctly predicted pictures.
        accuracy: Share of correctly predicted pictures.
        norms: The numbers of each norm, by its name.
    """

    pictures: int
    right: int
    accuracy: Estimate
    norms: Mapping[str, NormSummary]

    @property
    def small(self) -> bool:
        """Whether there are fewer than `SMALL` pictures, so that the numbers say little."""
        return self.pictures < SMALL


def summarise(
    measured: Measurements, norms: Sequence[str], seed: int, radii: Mapping[str, Array] | None = None
) -> Summary:
    """The accuracy, the curves and the medians of some pictures.

    Args:
        measured: The pictures, at least one.
        norms: The norms of the attack.
        seed: Seed of the bootstrap.
        radii: The radii of each norm's curve. Default: those of `radius_grid`.
    """
    right = int(measured.right.sum())
    return Summary(
        pictures=len(measured),
        right=right,
        accuracy=proportion(right, len(measured)),
        norms={norm: _of_norm(measured, norm, seed, None if radii is None else radii[norm]) for norm in norms},
    )


def summarise_classes(
    measured: Measurements, norms: Sequence[str], seed: int, radii: Mapping[str, Array]
) -> dict[int, Summary]:
    """The summary of each class that has pictures, by the index of the class; see `summarise`."""
    return {label: summarise(part, norms, seed, radii) for label, part in measured.parts()}


def _of_norm(measured: Measurements, norm: str, seed: int, radii: Array | None) -> NormSummary:
    distances = measured.distances[norm]
    searched = measured.searched_radius[norm][np.isinf(distances)]
    attacked = distances[distances > 0]
    return NormSummary(
        curve=_curve(distances, searched, radius_grid(distances) if radii is None else radii),
        customary=_curve(distances, searched, CUSTOMARY[norm]),
        median=median(attacked, seed) if len(attacked) else None,
        censored=len(searched),
        unreliable=int(measured.reasons[norm].sum()),
    )


def _curve(distances: Array, searched: Array, radii: Array) -> Curve:
    counts = robust_counts(distances, radii)
    low, high = wilson(counts, len(distances))
    unsearched = (searched[None, :] < radii[:, None]).sum(axis=1)
    return Curve(radii, counts / len(distances), low, high, unsearched / len(distances))
