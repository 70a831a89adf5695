"""How sure the accepted shares are: pictures and annotators drawn again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from .fresh_majority import FIVE, FreshMajority
from .outcome import Decision, Estimate
from .tally import Tally, accepts, counts, tally
from .votes import CANNOT_JUDGE, Votes

_AT_END = 1e-9
"""An estimate this near to an end of its range is at the end."""

_AT_ONCE = 4_000_000
"""Weights drawn at once, 32 MB."""


@dataclass(frozen=True)
class Shares:
    """Accepted share of every group; a group is a stratum of a cell.

    Attributes:
        estimate: Corrected share from 0 to 1, float64 [G]; NaN for a group without votes.
        majority: Share by the majority as voted, float64 [G].
        retaken: Share expected of a majority that is retaken on resampled votes, float64 [G].
        draws: Redrawn shares, float64 [B, G].
        covariance: Covariance of the estimates, float64 [G, G].
        annotators: What annotators add to it, float64 [G, G]; 0 where they are unknown.
        level: Number of votes that the estimate goes by, up to 5, int64 [G]; 0 without votes.
    """

    estimate: NDArray[np.float64]
    majority: NDArray[np.float64]
    retaken: NDArray[np.float64]
    draws: NDArray[np.float64]
    covariance: NDArray[np.float64]
    annotators: NDArray[np.float64]
    level: NDArray[np.int64]

    def combine(self, factors: Mapping[int, float], constant: float = 0.0) -> Estimate:
        """Constant + sum of factor x share over groups.

        The interval goes from the 2.5th to the 97.5th percentile of the redraws, cut at the possible range. An estimate
        at an end of that range ends the interval too, because all pictures may be alike (Brown, Cai & DasGupta 2001).
        """
        groups = list(factors)
        by = np.array([factors[group] for group in groups])
        lowest, highest = constant + by[by < 0].sum(), constant + by[by > 0].sum()
        draws = self.draws[:, groups] @ by + constant
        low, high = np.clip(np.quantile(draws, [0.025, 0.975]), lowest, highest)
        estimate, majority, retaken = (
            float(share[groups] @ by + constant) for share in (self.estimate, self.majority, self.retaken)
        )
        if np.isclose(estimate, lowest, rtol=0, atol=_AT_END):
            low = lowest
        if np.isclose(estimate, highest, rtol=0, atol=_AT_END):
            high = highest
        return Estimate(
            estimate=estimate,
            low=float(low),
            high=float(high),
            standard_error=float(np.sqrt(by @ self.covariance[np.ix_(groups, groups)] @ by)),
            majority=majority,
            corrected_by=estimate - majority,
            retaking_bias=retaken - majority,
            extrapolated=bool((self.level[groups] < FIVE).any()),
        )


def groups(votes: Votes) -> NDArray[np.int64]:
    """Group of each question, 2 x cell + stratum, int64 [Q]."""
    return 2 * votes.questions.cell + votes.questions.stratum


def shares(
    votes: Votes,
    maybe: Decision,
    ties: Decision,
    *,
    seed: int,
    redraws: int,
    redrawn: Callable[[int], object] | None = None,
) -> Shares:
    """Accepted share of every group, with redraws.

    Question i of a group has weight w_i (1 / inclusion probability) and the estimate h_i of `FreshMajority`. Its share
    is T = sum w_i h_i / sum w_i (Hájek 1971). Votes depend on each other through pictures and through annotators, and

        Var T = Var(pictures) + Var(annotators) - Var(picture x annotator)

    (Cameron, Gelbach & Miller 2011). Drawing both factors again, as the pigeonhole bootstrap and products of weights
    do, counts the last term three times instead of once (Owen & Eckles 2012), and it is most of the variance when each
    picture has five votes. A redraw therefore is

        T* = (sum u_i w_i h_i + r w) / (sum u_i w_i + (r + s) w) + z

    - u_i ~ Exp(1), one for each picture, in all cells: a Bayesian bootstrap of pictures (Rubin 1981) in each stratum by
      itself. It holds the noise of the votes once, because h_i is not computed again: a majority that is retaken on
      resampled votes would be biased.
    - r, s ~ Gamma(1/2), with the mean weight w: half an accepted and half a rejected picture, Jeffreys' prior. Without
      them, no variance would be left where all pictures are accepted, or none.
    - z is the annotators' part, one for all groups: multivariate t with A - 1 degrees of freedom for A annotators,
      around 0, with the covariance C = sum_a a_a a_a' - sum_(a, picture) b b'. Here b holds the influence that an
      annotator's votes on one picture have on each group, and a_a is their sum over pictures; the difference leaves
      what the votes of one person have in common (Menzel 2021). Negative eigenvalues of C count as 0.

    `FreshMajority` says what h_i and the influence of a vote are.

    Args:
        votes: What people said.
        maybe: What "maybe" counts as.
        ties: What a tied majority counts as.
        seed: Of the redraws; the same seed draws the same weights of pictures.
        redraws: Number of redraws B.
        redrawn: Is told the number of redraws that are new, B in all.
    """
    questions = votes.questions
    counted = tally(counts(votes), maybe)
    group, size = groups(votes), 2 * len(questions.cells)
    voted = counted.votes > 0
    fresh = _fresh(counted, group, size, questions.weight)
    weight = np.where(voted, questions.weight, 0.0)
    total = np.bincount(group, weight, size)
    part = np.divide(weight, total[group], out=np.zeros(len(group)), where=voted)
    estimate = np.clip(_means(fresh.chance, weight, group, size), 0, 1)
    rng, rng_annotators = np.random.default_rng(seed).spawn(2)
    draws = _pictures(
        questions.picture[voted], group[voted], weight[voted], fresh.chance[voted], size, redraws, rng, redrawn
    )
    centred = draws - draws.mean(axis=0)
    covariance, of_annotators = centred.T @ centred / max(redraws - 1, 1), np.zeros((size, size))
    if votes.annotator is not None:
        of_annotators, annotators = _annotators(votes, votes.annotator, maybe, fresh, part, group, size)
        values, vectors = np.linalg.eigh(of_annotators)
        spread = vectors * np.sqrt(np.maximum(values, 0))
        covariance = covariance + spread @ spread.T
        freedom = max(annotators - 1, 1)
        scale = np.sqrt(freedom / rng_annotators.chisquare(freedom, (redraws, 1)))
        draws += scale * rng_annotators.standard_normal((redraws, size)) @ spread.T
    majorities = _majorities(counted, weight, group, size, ties)
    return Shares(estimate, *majorities, draws, covariance, of_annotators, fresh.level)


def tied_otherwise(found: Shares, votes: Votes, maybe: Decision, ties: Decision) -> Shares:
    """The same shares, had ties counted as `ties`: the majority as voted moves, and nothing else."""
    counted = tally(counts(votes), maybe)
    weight = np.where(counted.votes > 0, votes.questions.weight, 0.0)
    majority, retaken = _majorities(counted, weight, groups(votes), len(found.estimate), ties)
    return replace(found, majority=majority, retaken=retaken)


def _majorities(
    counted: Tally, weight: NDArray[np.float64], group: NDArray[np.int64], size: int, ties: Decision
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`Shares.majority` and `Shares.retaken`."""
    majority = counted.majority(ties).astype(np.float64)
    return _means(majority, weight, group, size), _means(_retaken(counted, ties), weight, group, size)


def _means(
    share: NDArray[np.float64], weight: NDArray[np.float64], group: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Weighted mean of each group, float64 [G]; NaN without weight."""
    total = np.bincount(group, weight, size)
    found: NDArray[np.float64] = np.full(size, np.nan)
    np.divide(np.bincount(group, weight * share, size), total, out=found, where=total > 0)
    return found


@dataclass(frozen=True)
class _Fresh:
    """`FreshMajority` for each question, float64 [Q]; 0 without votes.

    Attributes:
        level: Number of votes that it goes by, int64 [G].
        chance: What it says of a fresh majority.
        accepting: Influence of each accepting vote.
        rejecting: Influence of each rejecting vote.
    """

    level: NDArray[np.int64]
    chance: NDArray[np.float64]
    accepting: NDArray[np.float64]
    rejecting: NDArray[np.float64]


def _fresh(counted: Tally, group: NDArray[np.int64], size: int, weight: NDArray[np.float64]) -> _Fresh:
    chance, accepting, rejecting = np.zeros((3, len(group)))
    level = np.zeros(size, np.int64)
    for index in np.unique(group[counted.votes > 0]):
        inside = np.flatnonzero((group == index) & (counted.votes > 0))
        k, n = counted.accepting[inside], counted.votes[inside]
        table = FreshMajority.of(k, n, weight[inside])
        level[index] = table.level
        chance[inside] = table.chance[n, k]
        accepting[inside] = np.where(k > 0, table.accepting[n, k - 1], 0.0)
        rejecting[inside] = table.rejecting[n, k]
    return _Fresh(level, chance, accepting, rejecting)


def _retaken(counted: Tally, ties: Decision) -> NDArray[np.float64]:
    """Chance of each question that the majority of n votes, drawn from its n votes with replacement, accepts."""
    n = np.maximum(counted.votes, 1)
    enough = (n + 1) // 2 if ties == "accepted" else n // 2 + 1
    return np.asarray(stats.binom.sf(enough - 1, n, counted.accepting / n), np.float64)


def _pictures(
    picture: NDArray[np.int64],
    group: NDArray[np.int64],
    weight: NDArray[np.float64],
    chance: NDArray[np.float64],
    size: int,
    redraws: int,
    rng: np.random.Generator,
    redrawn: Callable[[int], object] | None,
) -> NDArray[np.float64]:
    """The pictures' part of redraws, float64 [B, G]."""
    names, row = np.unique(picture, return_inverse=True)
    shape = (len(names), size)
    above = sparse.coo_array((weight * chance, (row, group)), shape).tocsr()
    below = sparse.coo_array((weight, (row, group)), shape).tocsr()
    number = np.maximum(np.bincount(group, minlength=size), 1)
    mean = np.bincount(group, weight, size) / number
    draws = np.empty((redraws, size))
    for start in range(0, redraws, step := max(_AT_ONCE // len(names), 1)):
        some = slice(start, min(start + step, redraws))
        drawn = rng.exponential(size=(some.stop - start, len(names)))
        accepted, rejected = mean * rng.gamma(0.5, size=(2, some.stop - start, size))
        with np.errstate(invalid="ignore"):
            draws[some] = (drawn @ above + accepted) / (drawn @ below + accepted + rejected)
        if redrawn is not None:
            redrawn(some.stop - start)
    return draws


def _annotators(
    votes: Votes,
    annotator: NDArray[np.int64],
    maybe: Decision,
    fresh: _Fresh,
    part: NDArray[np.float64],
    group: NDArray[np.int64],
    size: int,
) -> tuple[NDArray[np.float64], int]:
    """Covariance C of the annotators' part, float64 [G, G], and the number of annotators."""
    cast = votes.value != CANNOT_JUDGE
    question = votes.question[cast]
    accepting = accepts(votes.value[cast], maybe)
    influence = part[question] * np.where(accepting, fresh.accepting[question], fresh.rejecting[question])

    people = np.unique(annotator[cast], return_inverse=True)[1]
    number = int(people.max(initial=-1)) + 1
    picture = votes.questions.picture[question]
    pair = np.unique(picture * number + people, return_inverse=True)[1]

    def product(cluster: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = sparse.coo_array(
            (influence, (cluster, group[question])), (int(cluster.max(initial=-1)) + 1, size)
        ).tocsr()
        return np.asarray((sums.T @ sums).todense(), np.float64)

    return product(people) - product(pair), number
