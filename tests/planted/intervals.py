"""Intervals of shares that were counted on several networks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from whybox_server.audits.statistics import CONFIDENCE

RESAMPLES = 1000

Counts = npt.NDArray[np.float64]
"""[R, 2] of one network: the sum of the outcomes of each redraw, and their number."""


def share(networks: Sequence[Counts]) -> float:
    """The mean outcome."""
    outcomes, number = np.sum([counts.sum(axis=0) for counts in networks], axis=0)
    return float(outcomes / number)


def interval(networks: Sequence[Counts], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean outcome: percentiles of a bootstrap that resamples networks, then their redraws.

    Where all outcomes are 0, or all are 1, resamples are alike; the interval is then Clopper and Pearson's, and each
    redraw is one trial.

    Args:
        networks: At least one; each has at least one outcome.
        seed: Seed of the resampling.
    """
    value = share(networks)
    if value in (0, 1):
        redraws = sum(int((counts[:, 1] > 0).sum()) for counts in networks)
        exact = stats.binomtest(int(value) * redraws, redraws).proportion_ci(CONFIDENCE)
        return float(exact.low), float(exact.high)
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        total = np.zeros(2)
        while total[1] == 0:  # redraws without an outcome can be drawn alone
            for network in generator.integers(len(networks), size=len(networks)):
                counts = networks[network]
                total += counts[generator.integers(len(counts), size=len(counts))].sum(axis=0)
        means[resample] = total[0] / total[1]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
