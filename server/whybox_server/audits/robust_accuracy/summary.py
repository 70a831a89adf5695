"""From records to the numbers of the report."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.audits.journal import Record
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
"""A class with fewer pictures than this is marked as small: its numbers say little."""

CUSTOMARY = {"linf": np.array([1, 2, 4, 8]) / 255, "l2": np.array([0.5, 1.0, 3.0])}
"""Radii at which papers state robust accuracy."""


@dataclass(frozen=True)
class Curve:
    """Empirical robust accuracy against the radius: an upper bound.

    Attributes:
        radius: [R], from 0.
        accuracy: [R]: share of the pictures that are right and for which no change up to the radius was found that
            makes the answer wrong.
        low: [R], end of the pointwise interval.
        high: [R], the other end.
        unsearched: [R]: share of the pictures that count as robust although changes were not searched up to the radius.
    """

    radius: Array
    accuracy: Array
    low: Array
    high: Array
    unsearched: Array


@dataclass(frozen=True)
class NormSummary:
    """One norm.

    Attributes:
        curve: Over all pictures.
        customary: The same at the radii of `CUSTOMARY`.
        median: Distance of the pictures that are right; None where there is none of them.
        censored: How many of them no flip was found for.
        unreliable: How many of them have reasons not to rely on their distance.
    """

    curve: Curve
    customary: Curve
    median: Estimate | None
    censored: int
    unreliable: int


@dataclass(frozen=True)
class Summary:
    """Of some pictures that could be measured.

    Attributes:
        pictures: How many, at least 1.
        right: How many are predicted right.
        accuracy: Their share.
        norms: By name.
    """

    pictures: int
    right: int
    accuracy: Estimate
    norms: Mapping[str, NormSummary]

    @property
    def small(self) -> bool:
        """Whether there are too few pictures for the numbers to say much."""
        return self.pictures < SMALL


def summarise(
    records: Sequence[Record], norms: Sequence[str], seed: int, radii: Mapping[str, Array] | None = None
) -> Summary:
    """Accuracy, curves and medians.

    Args:
        records: At least one; those of pictures that could be measured.
        norms: In which the right ones were attacked.
        seed: Of the bootstrap.
        radii: Where to tell the curve of each norm; without it where `radius_grid` says.
    """
    right = sum(record.right for record in records)
    return Summary(
        pictures=len(records),
        right=right,
        accuracy=proportion(right, len(records)),
        norms={norm: _of_norm(records, norm, seed, None if radii is None else radii[norm]) for norm in norms},
    )


def summarise_classes(
    records: Sequence[Record], norms: Sequence[str], seed: int, radii: Mapping[str, Array]
) -> dict[int, Summary]:
    """The same for the pictures of each class that has any, by its index."""
    members: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        members[record.label].append(record)
    return {label: summarise(members[label], norms, seed, radii) for label in sorted(members)}


def distance_of(record: Record, norm: str) -> float:
    """See `statistics`: 0 where the prediction is wrong, infinite where nothing was found."""
    if not record.right:
        return 0.0
    distance = record.norms[norm].distance
    return math.inf if distance is None else distance


def _of_norm(records: Sequence[Record], norm: str, seed: int, radii: Array | None) -> NormSummary:
    distances = np.array([distance_of(record, norm) for record in records])
    outcomes = [record.norms[norm] for record in records if record.right]
    searched = np.array([outcome.searched_radius for outcome in outcomes if outcome.distance is None])
    attacked = distances[distances > 0]
    return NormSummary(
        curve=_curve(distances, searched, radius_grid(distances) if radii is None else radii),
        customary=_curve(distances, searched, CUSTOMARY[norm]),
        median=median(attacked, seed) if len(attacked) else None,
        censored=len(searched),
        unreliable=sum(bool(outcome.reasons) for outcome in outcomes),
    )


def _curve(distances: Array, searched: Array, radii: Array) -> Curve:
    counts = robust_counts(distances, radii)
    low, high = wilson(counts, len(distances))
    unsearched = (searched[None, :] < radii[:, None]).sum(axis=1)
    return Curve(radii, counts / len(distances), low, high, unsearched / len(distances))
