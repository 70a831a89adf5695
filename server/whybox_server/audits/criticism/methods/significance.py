"""Tests of the hypothesis that, within each stratum, it is chance which pictures have the value of an attribute."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.duration.survfunc import survdiff

from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers
from whybox_server.audits.statistics import BLOCK

Alternative = Literal["two-sided", "less", "greater"]
"""What else could be true: the values of pictures with the value differ from, are below, or are above the others."""

# Sums in another order differ by rounding; those within this share of the observed sum are ties.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Significance:
    """A p-value, 0 to 1, and the name of its method."""

    p_value: float
    method: str


def stratum_ranks(values: Floats, strata: Integers) -> Floats:
    """[N], the midrank of each value in its stratum, divided by the stratum's size plus 1 (van Elteren 1960)."""
    scores = np.empty(len(values))
    for stratum in np.unique(strata):
        rows = strata == stratum
        scores[rows] = stats.rankdata(values[rows]) / (rows.sum() + 1)
    return scores


def asymptotic(scores: Floats, having: Booleans, strata: Integers, alternative: Alternative) -> float:
    """The p-value of the sum of the scores of the pictures with the value, by the normal approximation.

    With the scores of `stratum_ranks` this is van Elteren's test, and for one stratum the rank-sum test of Wilcoxon,
    Mann and Whitney with its correction for ties.

    Args:
        scores: [N].
        having: [N], whether the picture has the value of the attribute.
        strata: [N], the stratum of each picture.
        alternative: The alternative.
    """
    deviation = variance = 0.0
    for stratum in np.unique(strata):
        rows = strata == stratum
        size, number = int(rows.sum()), int(having[rows].sum())
        if not 0 < number < size:
            continue
        centred = scores[rows] - scores[rows].mean()
        deviation += float(centred[having[rows]].sum())
        variance += number * (size - number) / (size * (size - 1)) * float(centred @ centred)
    if variance <= 0:
        return 1.0
    z = deviation / np.sqrt(variance)
    if alternative == "two-sided":
        return float(2 * stats.norm.sf(abs(z)))
    return float(stats.norm.sf(z) if alternative == "greater" else stats.norm.cdf(z))


def permuted(
    scores: Floats, having: Booleans, strata: Integers, alternative: Alternative, permutations: int, seed: int
) -> float:
    """The p-value of the same sum among random permutations within strata: (b + 1) / (B + 1).

    b is the number of permutations whose sum deviates from its expectation at least as far as the observed one.

    Args:
        scores: [N].
        having: [N], whether the picture has the value of the attribute.
        strata: [N], the stratum of each picture.
        alternative: The alternative.
        permutations: Their number, B.
        seed: Seed of the permutations.
    """
    generator = np.random.default_rng(seed)
    observed, size = 0.0, 0.0
    sums = np.zeros(permutations)
    for stratum in np.unique(strata):
        rows = strata == stratum
        centred = scores[rows] - scores[rows].mean()
        number = int(having[rows].sum())
        observed += float(centred[having[rows]].sum())
        size += float(np.abs(centred).sum())
        # The sum of the smaller group tells that of the larger one, because all sum to 0.
        smaller, sign = (number, 1) if 2 * number <= len(centred) else (len(centred) - number, -1)
        block = max(BLOCK // len(centred), 1)
        for start in range(0, permutations, block):
            shape = (min(block, permutations - start), len(centred))
            drawn = generator.permuted(np.broadcast_to(centred, shape), axis=1)
            sums[start : start + block] += sign * drawn[:, :smaller].sum(axis=1)
    slack = _ROUNDING * size
    if alternative == "two-sided":
        extreme = np.abs(sums) >= abs(observed) - slack
    else:
        extreme = sums >= observed - slack if alternative == "greater" else sums <= observed + slack
    return (int(extreme.sum()) + 1) / (permutations + 1)


def exact(values: Booleans, having: Booleans, strata: Integers, alternative: Alternative) -> float:
    """The p-value of the number of pictures with the value that `values` counts, given all margins of each stratum.

    For one stratum this is Fisher's exact test, for several the exact conditional test of Mantel and Haenszel (Cox and
    Snell, Analysis of Binary Data 1989, chapter 2). Two-sided: the probability of all numbers that are at most as
    likely as the observed one.

    Args:
        values: [N].
        having: [N], whether the picture has the value of the attribute.
        strata: [N], the stratum of each picture.
        alternative: The alternative.
    """
    least = 0
    chances = np.ones(1)
    for stratum in np.unique(strata):
        rows = strata == stratum
        size, counted, number = int(rows.sum()), int(values[rows].sum()), int(having[rows].sum())
        support = np.arange(max(0, number + counted - size), min(number, counted) + 1)
        least += int(support[0])
        chances = np.convolve(chances, stats.hypergeom.pmf(support, size, counted, number))
    observed = int(values[having].sum()) - least
    if alternative == "two-sided":
        chance = chances[chances <= chances[observed] * (1 + 1e-7)].sum()
    else:
        chance = chances[observed:].sum() if alternative == "greater" else chances[: observed + 1].sum()
    return float(min(chance, 1.0))


def log_rank(times: Floats, found: Booleans, having: Booleans, strata: Integers, alternative: Alternative) -> float:
    """The p-value of the log-rank test, within strata.

    Args:
        times: [N], the distance, or the radius that was searched without finding one.
        found: [N], whether it is a distance.
        having: [N], whether the picture has the value of the attribute.
        strata: [N], the stratum of each picture; each holds both groups.
        alternative: The alternative; "greater" means larger distances, which are found less often than expected.
    """
    if not found.any():
        return 1.0
    square, _ = survdiff(times, found.astype(int), having.astype(int), strata=strata if strata.any() else None)
    if alternative == "two-sided":
        return float(stats.chi2.sf(square, 1))
    # The statistic is the square of a normal one, whose sign is that of the observed minus the expected number.
    excess = sum(_excess(times[rows], found[rows], having[rows]) for rows in (strata == s for s in np.unique(strata)))
    z = np.copysign(np.sqrt(square), excess)
    return float(stats.norm.cdf(z) if alternative == "greater" else stats.norm.sf(z))


def _excess(times: Floats, found: Booleans, having: Booleans) -> float:
    """How many more of the group's distances are found than expected if at each distance all are alike."""
    moments = np.unique(times[found])
    at_risk = len(times) - np.searchsorted(np.sort(times), moments, side="left")
    ours = having.sum() - np.searchsorted(np.sort(times[having]), moments, side="left")
    events = np.searchsorted(np.sort(times[found]), moments, side="right") - np.searchsorted(
        np.sort(times[found]), moments, side="left"
    )
    return float(found[having].sum() - (events * ours / at_risk).sum())
