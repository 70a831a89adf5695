"""What a fresh majority of five would say, from the votes that there are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FIVE = 5
"""People in the majority that is estimated."""

_GRID = np.linspace(0.0, 1.0, 101)
_STEPS = 300


@dataclass(frozen=True)
class FreshMajority:
    """Tables by the number of votes n (rows, 0 … N) and of accepting votes k among them (columns, 0 … N).

    Attributes:
        chance: Estimate h(k, n) of the chance that a fresh majority accepts, float64 [N + 1, N + 1]; NaN if k > n or
            n = 0.
        step: h(k + 1, n) - h(k, n): what one more accepting vote changes, float64 [N + 1, N + 1]; 0 at k >= n.
    """

    chance: NDArray[np.float64]
    step: NDArray[np.float64]

    @classmethod
    def of(cls, accepting: NDArray[np.int64], votes: NDArray[np.int64]) -> "FreshMajority":
        """Fit the tables to questions that resemble each other: those of one cell and stratum.

        A question has its own chance p that a person of the crowd accepts; a fresh majority of five accepts with
        m(p) = P(Bin(5, p) >= 3).

        - n >= 5: h(k, n) = P(Hypergeometric(n, k, 5) >= 3), the majority of five averaged over all choices of five of
          the n votes. It is the U-statistic of m(p), and free of bias whatever p (Hoeffding 1948); for n = 5 it is the
          majority itself.
        - n < 5: m(p) has no estimate without bias from fewer than five votes, so h(k, n) = E[m(p) | k, n] with the
          distribution of p that makes the votes of all questions most probable (Kiefer & Wolfowitz 1956; EM of Laird
          1978 on a grid of 101 values). It takes for granted that the number of votes does not depend on p.

        Args:
            accepting: Votes that accept, int64 [Q].
            votes: All votes, int64 [Q]; questions without votes are passed over.
        """
        most = int(votes.max(initial=0))
        n, k = np.mgrid[: most + 1, : most + 1]
        chance = np.where(n >= FIVE, stats.hypergeom.sf(FIVE // 2, np.maximum(n, k), k, np.minimum(FIVE, n)), np.nan)
        if np.any((votes > 0) & (votes < FIVE)):
            few = n < FIVE
            mixing = _mixing_distribution(accepting, votes)
            joint = stats.binom.pmf(k[few][:, None], n[few][:, None], _GRID) * mixing
            with np.errstate(invalid="ignore"):
                chance[few] = joint @ majority_of_five(_GRID) / joint.sum(axis=1)
        chance = np.where((k <= n) & (n > 0), chance, np.nan)
        step = np.zeros_like(chance)
        step[:, :-1] = np.nan_to_num(np.diff(chance, axis=1))
        return cls(chance, step)


def majority_of_five(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """m(p) = P(Bin(5, p) >= 3)."""
    return np.asarray(stats.binom.sf(FIVE // 2, FIVE, p), np.float64)


def _mixing_distribution(accepting: NDArray[np.int64], votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mass of each p of the grid."""
    pairs, times = np.unique(np.stack([votes, accepting]), axis=1, return_counts=True)
    likelihood = stats.binom.pmf(pairs[1][:, None], pairs[0][:, None], _GRID)
    mass = np.full(len(_GRID), 1 / len(_GRID))
    for _ in range(_STEPS):
        posterior = likelihood * mass
        mass = times @ (posterior / posterior.sum(axis=1, keepdims=True)) / times.sum()
    return mass
