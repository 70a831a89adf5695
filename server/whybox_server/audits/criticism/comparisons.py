"""The comparison that answers a question: its pictures, groups and strata, its effect, interval, test and power."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM, ERROR_RATE, Question
from whybox_server.audits.criticism.groups import Groups, group
from whybox_server.audits.criticism.methods import power
from whybox_server.audits.criticism.methods.effects import (
    Effect,
    Interval,
    bootstrap,
    cliffs_delta,
    gap_interval,
    mean_difference,
)
from whybox_server.audits.criticism.methods.regression import delta_scores
from whybox_server.audits.criticism.methods.significance import (
    Alternative,
    Significance,
    asymptotic,
    exact,
    log_rank,
    permuted,
    stratum_ranks,
)
from whybox_server.audits.criticism.options import CENSORED, FLOOR, LARGE, CriticismOptions
from whybox_server.audits.criticism.pictures import Booleans, Floats, Measurements


@dataclass(frozen=True)
class Comparison(ABC):
    """A comparison of two groups; the sign of its effect is with the value minus without it."""

    groups: Groups

    @property
    @abstractmethod
    def effect(self) -> Effect:
        """The effect."""

    @property
    @abstractmethod
    def scores(self) -> Floats | None:
        """[M], values whose difference of means is the effect without confounders; None if there are none."""

    @abstractmethod
    def interval(self, threshold: float, seed: int) -> Interval:
        """The 95 % interval of the effect, precise enough to be compared with a threshold."""

    @abstractmethod
    def significance(self, alternative: Alternative, permutations: int, seed: int) -> Significance:
        """The p-value."""

    @abstractmethod
    def detectable(self, threshold: float) -> Callable[[float], float]:
        """The minimum detectable effect, from the largest p-value that would be flagged."""

    def refusal(self) -> str:
        """Why the groups cannot be compared; "" if they can."""
        if min(self.groups.n_with, self.groups.n_without) < FLOOR:
            return f"a group has fewer than {FLOOR} pictures that can be compared"
        return "" if self.groups.comparable else "pictures with the same values of the confounders are in one group"

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of pictures with the value, and without it."""
        return self.groups.n_with, self.groups.n_without

    @property
    def large(self) -> bool:
        """Whether both groups are large enough for an asymptotic p-value."""
        return min(self.groups.n_with, self.groups.n_without) >= LARGE


@dataclass(frozen=True)
class DistanceComparison(Comparison):
    """Compares distances.

    Attributes:
        distances: [M], as in `Measurements`.
        radii: [M], largest size of change that was tried.
    """

    distances: Floats
    radii: Floats

    @property
    def ranked(self) -> bool:
        """Whether pictures without a found change rank above all others: one radius, beyond every distance found."""
        radii = self.radii[np.isinf(self.distances)]
        found = self.distances[np.isfinite(self.distances)]
        return not len(radii) or bool((radii == radii[0]).all() and radii[0] >= found.max(initial=0))

    @property
    def effect(self) -> Effect:
        """See `Comparison`."""
        lower = np.where(np.isinf(self.distances), np.nextafter(self.radii, np.inf), self.distances)
        return cliffs_delta(lower, self.distances, self.groups.having, self.groups.strata)

    @property
    def scores(self) -> Floats | None:
        """See `Comparison`."""
        return delta_scores(self.distances) if self.ranked else None

    def interval(self, threshold: float, seed: int) -> Interval:
        """See `Comparison`."""
        return bootstrap(self.effect, self.groups.having, self.groups.strata, threshold, seed)

    def significance(self, alternative: Alternative, permutations: int, seed: int) -> Significance:
        """See `Comparison`."""
        having, strata = self.groups.having, self.groups.strata
        if not self.ranked:
            times = np.where(np.isinf(self.distances), self.radii, self.distances)
            return Significance(
                log_rank(times, np.isfinite(self.distances), having, strata, alternative), "log-rank test"
            )
        ranks = stratum_ranks(self.distances, strata)
        if self.large:
            return Significance(asymptotic(ranks, having, strata, alternative), "stratified rank test, asymptotic")
        return _permutation_test(ranks, self.groups, alternative, permutations, seed)

    def detectable(self, threshold: float) -> Callable[[float], float]:
        """See `Comparison`."""
        return partial(power.detectable_delta, *self.groups.sizes(), threshold)

    def refusal(self) -> str:
        """See `Comparison`."""
        if refusal := super().refusal():
            return refusal
        censored = np.isinf(self.distances)
        most = max(censored[self.groups.having].mean(), censored[~self.groups.having].mean())
        if most > CENSORED:
            share = f"{100 * most:.0f} % of a group, more than {100 * CENSORED:.0f} %"
            return f"no change was found for {share}: only the tails speak"
        return ""


@dataclass(frozen=True)
class ErrorComparison(Comparison):
    """Compares the shares of wrong answers.

    Attributes:
        wrong: [M], whether the answer is wrong.
    """

    wrong: Booleans

    @property
    def effect(self) -> Effect:
        """See `Comparison`."""
        return mean_difference(self.scores, self.groups.having, self.groups.strata)

    @property
    def scores(self) -> Floats:
        """See `Comparison`."""
        return self.wrong.astype(np.float64)

    def interval(self, threshold: float, seed: int) -> Interval:  # noqa: ARG002 (a closed form)
        """See `Comparison`."""
        return gap_interval(self.wrong, self.groups.having, self.groups.strata)

    def significance(
        self,
        alternative: Alternative,
        permutations: int,  # noqa: ARG002 (all of them are counted)
        seed: int,  # noqa: ARG002
    ) -> Significance:
        """See `Comparison`."""
        chance = exact(self.wrong, self.groups.having, self.groups.strata, alternative)
        return Significance(chance, "Fisher's exact test, within strata")

    def detectable(self, threshold: float) -> Callable[[float], float]:
        """See `Comparison`."""
        share = float(self.wrong[~self.groups.having].mean())
        return partial(power.detectable_gap, share, *self.groups.sizes(), threshold)


@dataclass(frozen=True)
class CalibrationComparison(Comparison):
    """Compares mean confidence minus accuracy.

    Attributes:
        excess: [M], confidence minus 1 where the answer is right, minus 0 where it is wrong.
    """

    excess: Floats

    @property
    def effect(self) -> Effect:
        """See `Comparison`."""
        return mean_difference(self.excess, self.groups.having, self.groups.strata)

    @property
    def scores(self) -> Floats:
        """See `Comparison`."""
        return self.excess

    def interval(self, threshold: float, seed: int) -> Interval:
        """See `Comparison`."""
        return bootstrap(self.effect, self.groups.having, self.groups.strata, threshold, seed)

    def significance(self, alternative: Alternative, permutations: int, seed: int) -> Significance:
        """See `Comparison`."""
        return _permutation_test(self.excess, self.groups, alternative, permutations, seed)

    def detectable(self, threshold: float) -> Callable[[float], float]:
        """See `Comparison`."""
        having, without = self.groups.sizes()
        weights = having * without / (having + without)
        weights = weights / weights.sum()
        ours, others = (self.excess[side].var() for side in (self.groups.having, ~self.groups.having))
        error = float(np.sqrt(weights**2 @ (ours / having + others / without)))
        return partial(power.detectable_difference, error, threshold)


def compare(
    part: Measurements,
    question: Question,
    options: CriticismOptions,
    *,
    norm: str = "",
    kept: Booleans | None = None,
) -> Comparison:
    """The comparison that answers a question.

    Args:
        part: The pictures of the class, N of them.
        question: The question.
        options: The confounders and the primary norm.
        norm: The norm of the distances. Default: the primary norm.
        kept: [N], the pictures to use. Default: the correctly classified ones for distances, else all.
    """
    if kept is None:
        kept = part.right if question.kind == ADVERSARIAL_CRITICISM else np.ones(len(part), dtype=bool)
    groups = group(part, question, options, kept)
    if question.kind == ADVERSARIAL_CRITICISM:
        norm = norm or options.primary_norm
        return DistanceComparison(groups, part.distances[norm][groups.rows], part.searched_radius[norm][groups.rows])
    right = part.right[groups.rows]
    if question.kind == ERROR_RATE:
        return ErrorComparison(groups, ~right)
    return CalibrationComparison(groups, part.confidence[groups.rows] - right)


def _permutation_test(
    scores: Floats, groups: Groups, alternative: Alternative, permutations: int, seed: int
) -> Significance:
    chance = permuted(scores, groups.having, groups.strata, alternative, permutations, seed)
    return Significance(chance, f"{permutations} permutations within strata")
