"""Whether an effect holds in both halves of the pictures, and whether two attacks rank them alike."""

import numpy as np
from scipy import stats

from whybox_server.audits.criticism.methods.effects import Effect, of_all
from whybox_server.audits.criticism.options import SPLITS
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers

_BLOCK = 1_000_000


def split_half_agreement(effect: Effect, having: Booleans, groups: Integers, seed: int) -> int:
    """In how many of `SPLITS` random splits the effect has its sign in both halves.

    Each split halves the pictures with the value, and those without it. Near-duplicates stay together; they count as
    the group of their first picture.

    Args:
        effect: The effect.
        having: [N], as for the effect.
        groups: [N]; pictures of the same group are near-duplicates.
        seed: Seed of the splits.
    """
    generator = np.random.default_rng(seed)
    _, first, unit = np.unique(groups, return_index=True, return_inverse=True)
    sides = [np.flatnonzero(having[first] == side) for side in (True, False)]
    sign = np.sign(of_all(effect, len(having)))
    agreeing = 0
    for start in range(0, SPLITS, rows := max(_BLOCK // len(having), 1)):
        size = min(rows, SPLITS - start)
        half = np.empty((size, len(first)), dtype=bool)
        for side in sides:
            # Odd numbers leave one unit over; either half may get it.
            dealt = (np.arange(len(side)) + generator.integers(2, size=(size, 1))) % 2 == 0
            half[:, side] = generator.permuted(dealt, axis=1)
        weights = half[:, unit].astype(np.float64)
        agreeing += int(((np.sign(effect(weights)) == sign) & (np.sign(effect(1 - weights)) == sign)).sum())
    return agreeing if sign else 0


def rank_agreement(distances: Floats, others: Floats) -> float | None:
    """Kendall's tau-b between two distances of the same pictures, -1 to 1; None if either ranks nothing.

    Args:
        distances: [N]; infinite ones are ties above all others.
        others: [N], likewise.
    """
    ranks, other_ranks = stats.rankdata(distances), stats.rankdata(others)
    if len(np.unique(ranks)) < 2 or len(np.unique(other_ranks)) < 2:
        return None
    return float(stats.kendalltau(ranks, other_ranks).statistic)
