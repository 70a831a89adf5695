"""Prototypes and criticisms: the fifth of a class that is hardest to attack, and the fifth that is easiest."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.stats import contingency

from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers
from whybox_server.audits.statistics import CONFIDENCE

SHARE = 5
"""A tail is one picture in as many, rounded down."""

TailName = Literal["prototypes", "criticisms"]


@dataclass(frozen=True)
class Tail:
    """Pictures with the value in a tail, against those in the rest of the class; it illustrates and decides nothing.

    Attributes:
        name: "prototypes" or "criticisms".
        n: Number of pictures in the tail.
        n_with: Number of those with the value.
        rest: Number of pictures outside of the tail.
        rest_with: Number of those with the value.
        odds_ratio: Conditional maximum likelihood estimate of the odds of the value in the tail, divided by those in
            the rest; 1 means no difference, None stands for infinity or for no estimate.
        low: Lower end of its interval; None with no estimate.
        high: Upper end of its interval; None stands for infinity or for no estimate.
        p_value: Two-sided p-value of Fisher's exact test.
    """

    name: TailName
    n: int
    n_with: int
    rest: int
    rest_with: int
    odds_ratio: float | None
    low: float | None
    high: float | None
    p_value: float


def tail_rows(distances: Floats, name: TailName) -> Integers:
    """The rows of the prototypes, the hardest first, or of the criticisms, the easiest first.

    Args:
        distances: [N], of correctly classified pictures. Equal distances keep their order, so the first of the pictures
            is in the tail.
        name: The tail.
    """
    order = np.argsort(distances if name == "criticisms" else -distances, kind="stable")
    return order[: len(distances) // SHARE]


def tail(distances: Floats, having: Booleans, name: TailName) -> Tail | None:
    """The pictures with the value in a tail; None if there are too few pictures for a tail.

    Args:
        distances: [N], of correctly classified pictures.
        having: [N], whether the picture has the value of the attribute.
        name: The tail.
    """
    rows = tail_rows(distances, name)
    if not len(rows):
        return None
    inside, all_with = int(having[rows].sum()), int(having.sum())
    rest = len(distances) - len(rows)
    table = [[inside, len(rows) - inside], [all_with - inside, rest - (all_with - inside)]]
    odds = low = high = None
    if 0 < all_with < len(distances):
        ratio = contingency.odds_ratio(table)
        interval = ratio.confidence_interval(CONFIDENCE)
        odds, low, high = (_finite(number) for number in (ratio.statistic, interval.low, interval.high))
    return Tail(
        name, len(rows), inside, rest, all_with - inside, odds, low, high, float(stats.fisher_exact(table).pvalue)
    )


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
