"""Whether an effect holds in both halves of the pictures, and whether two attacks rank them alike."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats

from whybox_server.audits.criticism.methods.effects import Effect, of_all
from whybox_server.audits.criticism.options import SPLITS
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers
from whybox_server.audits.statistics import BLOCK, CONFIDENCE, RESAMPLES


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
    for start in range(0, SPLITS, rows := max(BLOCK // len(having), 1)):
        size = min(rows, SPLITS - start)
        half = np.empty((size, len(first)), dtype=bool)
        for side in sides:
            # Odd numbers leave one unit over; either half may get it.
            dealt = (np.arange(len(side)) + generator.integers(2, size=(size, 1))) % 2 == 0
            half[:, side] = generator.permuted(dealt, axis=1)
        weights = half[:, unit].astype(np.float64)
        agreeing += int(((np.sign(effect(weights)) == sign) & (np.sign(effect(1 - weights)) == sign)).sum())
    return agreeing if sign else 0


@dataclass(frozen=True)
class RankAgreement:
    """How alike two attacks rank the same pictures, from -1 (reversed) over 0 (unrelated) to 1 (the same).

    Attributes:
        rho: Spearman's rho; None if either ranks nothing.
        rho_low: Lower end of its 95 % percentile bootstrap interval; None if a resample ranks nothing.
        rho_high: Upper end.
        tau: Kendall's tau-b; None like rho.
    """

    rho: float | None
    rho_low: float | None
    rho_high: float | None
    tau: float | None


def rank_agreement(distances: Floats, others: Floats, seed: int) -> RankAgreement:
    """The agreement of two distances of the same pictures.

    Args:
        distances: [N]; infinite ones are ties above all others.
        others: [N], likewise.
        seed: Seed of the bootstrap.
    """
    ranks, other_ranks = stats.rankdata(distances), stats.rankdata(others)
    if len(np.unique(ranks)) < 2 or len(np.unique(other_ranks)) < 2:
        return RankAgreement(None, None, None, None)
    with warnings.catch_warnings():
        # A resample may draw equal distances alone, which rank nothing; the interval is then not known.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = stats.bootstrap(
            (ranks, other_ranks),
            _rho,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    known = bool(np.isfinite(low) and np.isfinite(high))
    return RankAgreement(
        rho=float(_rho(ranks, other_ranks)),
        rho_low=float(low) if known else None,
        rho_high=float(high) if known else None,
        tau=float(stats.kendalltau(ranks, other_ranks).statistic),
    )


def _rho(values: Floats, others: Floats, axis: int = -1) -> Floats:
    """Spearman's rho along an axis, [..., N] to [...]."""
    ranks, other_ranks = (stats.rankdata(each, axis=axis) for each in (values, others))
    rho: Floats = stats.pearsonr(ranks, other_ranks, axis=axis).statistic
    return rho
