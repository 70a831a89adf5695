"""What a fresh majority of five would say, from the votes that there are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FIVE = 5
"""People in the majority that is estimated."""

P = np.linspace(0.0, 1.0, 101)
"""Chances that a person of the crowd accepts, among which pictures are distributed."""
_STEPS = 300
_ANY = 0.01
_ENOUGH = 20


@dataclass(frozen=True)
class FreshMajority:
    """Tables by the number of votes n (rows, 0 … N) and of accepting votes k among them (columns, 0 … N).

    Attributes:
        level: Number of votes L, up to 5, that the estimate goes by; below 5 it extrapolates to five.
        chance: H(k, n), whose mean over questions is the accepted share of fresh majorities, float64 [N + 1, N + 1]. It
            is P(Hypergeometric(n, k, 5) >= 3) if all questions have five votes or more, and may lie outside of 0 to 1
            otherwise; NaN if k > n or n = 0.
        accepting: Influence of an accepting vote on H beside k others that accept, float64 [N + 1, N + 1]; 0 if k >= n.
        rejecting: Influence of a rejecting vote, likewise. Both have mean 0 over a crowd of equals.
    """

    level: int
    chance: NDArray[np.float64]
    accepting: NDArray[np.float64]
    rejecting: NDArray[np.float64]

    @classmethod
    def of(cls, accepting: NDArray[np.int64], votes: NDArray[np.int64], weight: NDArray[np.float64]) -> "FreshMajority":
        """Fit the tables to questions that resemble each other: those of one cell and stratum.

        A question has its own chance p that a person of the crowd accepts; a fresh majority of five accepts with
        m(p) = P(Bin(5, p) >= 3). From n >= 5 votes, P(Hypergeometric(n, k, 5) >= 3) estimates it without bias: the
        majority of five, averaged over all choices of five of the n votes (a U-statistic, Hoeffding 1948). Fewer votes
        have no such estimate, but tell something. With phi_l(j) = E[m(p) | j of l votes accept], averaged over all
        choices of l of the n votes, and phi_5 the U-statistic,

            T = mean over n >= 1 of phi_1 + sum_(l = 2 … 5) mean over n >= l of (phi_l - phi_(l-1)),

        which is free of bias whatever phi_1 … phi_4, if the number of votes does not depend on p: the regression
        estimator of sampling in two phases (Cochran 1977, chapter 12). H is what a question adds to T.

        Few questions with l votes would make T noisy, so the sum ends at the largest L up to 5 that at least 20
        questions, or half of them, have. If L is below 5, T extrapolates, and phi_L is another: the function whose mean
        E[phi_L(j) | p], a polynomial of degree L, is nearest to m(p) by least squares over the distribution of p. T
        trusts that distribution for the rest of m(p), and its noise is that of phi_L(j); E[m(p) | j] varies less
        between questions than T between studies.

        That distribution is the one that makes the votes of all questions most probable (Kiefer & Wolfowitz 1956), by
        EM (Laird 1978) on a grid of 101 values. The influence of a vote y is the projection of H on it (Hájek 1968),
        (y - p) s(p) with s(p) = E[H(k' + 1, n) - H(k', n)] for k' ~ Bin(n - 1, p). It is estimated by
        (y - E[p | k, n - 1]) E[s(p) | k, n - 1] from the k of the n - 1 other votes that accept.

        Args:
            accepting: Votes that accept, int64 [Q].
            votes: All votes, int64 [Q], at least 1.
            weight: Weights of the questions, float64 [Q].
        """
        most = int(votes.max())
        n, k = np.mgrid[: most + 1, : most + 1]
        possible = (k <= n) & (n > 0)
        mixing = mixing_distribution(accepting, votes)
        chance, last = np.zeros(n.shape), np.zeros(n.shape)
        last_level = reached(votes)
        for level in range(1, last_level + 1):
            enough = possible & (n >= level)
            share = weight.sum() / weight[votes >= level].sum()
            table = _nearest(level, mixing) if level == last_level < FIVE else _phi(level, mixing)
            phi = np.where(enough, _averaged(table, np.maximum(n, level), np.minimum(k, n)), 0.0)
            chance += np.where(enough, share * (phi - last), 0.0)
            last = phi
        slope = np.zeros(n.shape)
        slope[:, :-1] = np.where((k < n)[:, :-1], np.diff(chance, axis=1), 0.0)

        others = stats.binom.pmf(k[..., None], np.maximum(n - 1, 0)[..., None], P)
        s = (others * slope[..., None]).sum(axis=1)
        joint = np.where((k < n)[..., None], others * mixing, 0.0)
        total = joint.sum(axis=2)
        usual, steep = np.zeros((2, *n.shape))
        np.divide(joint @ P, total, out=usual, where=total > 0)
        np.divide((joint * s[:, None, :]).sum(axis=2), total, out=steep, where=total > 0)
        return cls(last_level, np.where(possible, chance, np.nan), (1 - usual) * steep, -usual * steep)


def reached(votes: NDArray[np.int64]) -> int:
    """The largest number of votes, up to 5, that at least 20 questions or half of them have."""
    having = (votes[:, None] >= np.arange(1, FIVE + 1)).sum(axis=0)
    return max(int(np.count_nonzero(having >= min(_ENOUGH, len(votes) / 2))), 1)


def majority_of_five(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """m(p) = P(Bin(5, p) >= 3)."""
    return np.asarray(stats.binom.sf(FIVE // 2, FIVE, p), np.float64)


def _phi(level: int, mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    """phi_l(j) for j = 0 … l, float64 [l + 1]."""
    j = np.arange(level + 1)
    if level == FIVE:
        return (2 * j > FIVE).astype(np.float64)
    joint = stats.binom.pmf(j[:, None], level, P) * mixing
    total = joint.sum(axis=1)
    # A count that no possible p can give gets what a person's chance of 1/2 would give; no question has it.
    found: NDArray[np.float64] = np.full(level + 1, 0.5)
    np.divide(joint @ majority_of_five(P), total, out=found, where=total > 0)
    return found


def _nearest(level: int, mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    """phi_L(j) for j = 0 … L, with L below 5, float64 [L + 1]."""
    # A little of every p, because a narrow distribution leaves phi_L open.
    root = np.sqrt((1 - _ANY) * mixing + _ANY / len(P))
    mean = stats.binom.pmf(np.arange(level + 1), level, P[:, None])
    return np.asarray(np.linalg.lstsq(root[:, None] * mean, root * majority_of_five(P))[0], np.float64)


def _averaged(phi: NDArray[np.float64], n: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of phi(j) over all choices of l of n votes, k of which accept."""
    level = len(phi) - 1
    chosen = stats.hypergeom.pmf(np.arange(level + 1), n[..., None], k[..., None], level)
    return np.asarray(chosen @ phi, np.float64)


def mixing_distribution(accepting: NDArray[np.int64], votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mass of each p of the grid."""
    pairs, times = np.unique(np.stack([votes, accepting]), axis=1, return_counts=True)
    likelihood = stats.binom.pmf(pairs[1][:, None], pairs[0][:, None], P)
    mass = np.full(len(P), 1 / len(P))
    for _ in range(_STEPS):
        posterior = likelihood * mass
        mass = times @ (posterior / posterior.sum(axis=1, keepdims=True)) / times.sum()
    return mass
