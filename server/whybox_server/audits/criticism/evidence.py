"""The evidence on one question, measured in one set of pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM, Question
from whybox_server.audits.criticism.comparisons import Comparison, compare
from whybox_server.audits.criticism.findings import Repeat
from whybox_server.audits.criticism.groups import group
from whybox_server.audits.criticism.methods.agreement import split_half_agreement
from whybox_server.audits.criticism.methods.effects import Interval, beyond, of_all
from whybox_server.audits.criticism.methods.regression import Adjusted, adjusted
from whybox_server.audits.criticism.methods.significance import Alternative, Significance
from whybox_server.audits.criticism.methods.tails import Tail, tail
from whybox_server.audits.criticism.options import FLOOR, CriticismOptions
from whybox_server.audits.criticism.pictures import Booleans, Measurements


@dataclass(frozen=True)
class Evidence:
    """What the pictures say on a question.

    Attributes:
        n_with: Number of pictures with the value that were compared.
        n_without: Number of those without it.
        effect: The effect, with the value minus without it.
        interval: Its interval.
        significance: Its p-value.
        agreement: In how many random splits both halves have its sign.
        detectable: The minimum detectable effect, from the largest p-value that would be flagged.
        accuracies: Accuracy with the value and without it, among all pictures of the class.
        adjusted: The coefficient in a regression with the confounders; None without them, if they tell the attribute,
            or if distances cannot be ranked.
        unselected: The distance effect in all pictures of the class, with distance 0 where the answer is wrong.
        repeats: The effect in other norms, and without distances that something speaks against.
    """

    n_with: int
    n_without: int
    effect: float
    interval: Interval
    significance: Significance
    agreement: int
    detectable: Callable[[float], float]
    accuracies: tuple[float, float]
    adjusted: Adjusted | None
    unselected: tuple[float, Interval] | None
    repeats: tuple[Repeat, ...]


def threshold(question: Question, options: CriticismOptions) -> float:
    """The threshold beyond which the interval of an effect must lie."""
    return options.delta_threshold if question.kind == ADVERSARIAL_CRITICISM else options.gap_threshold


def gather(
    part: Measurements,
    question: Question,
    options: CriticismOptions,
    permutations: int,
    alternative: Alternative = "two-sided",
) -> Evidence:
    """The evidence on a question whose comparison has no refusal.

    Args:
        part: The pictures of the class, N of them.
        question: The question.
        options: Confounders, primary norm, thresholds and seed.
        permutations: Number of permutations, for tests that need them.
        alternative: The alternative of the test.
    """
    comparison = compare(part, question, options)
    groups = comparison.groups
    effect, interval = _estimate(comparison, question, options)
    scores = comparison.scores
    confounders = [part.confounders[name][groups.rows] for name in options.confounders]
    distance = question.kind == ADVERSARIAL_CRITICISM
    unselected = None
    if distance:
        everything = np.ones(len(part), dtype=bool)
        unselected = _estimate(compare(part, question, options, kept=everything), question, options)
    return Evidence(
        n_with=groups.n_with,
        n_without=groups.n_without,
        effect=effect,
        interval=interval,
        significance=comparison.significance(alternative, permutations, options.seed),
        agreement=split_half_agreement(comparison.effect, groups.having, part.groups[groups.rows], options.seed),
        detectable=comparison.detectable(threshold(question, options)),
        accuracies=_accuracies(part, question),
        adjusted=adjusted(scores, groups.having, confounders) if confounders and scores is not None else None,
        unselected=unselected,
        repeats=tuple(_repeats(part, question, options)) if distance else (),
    )


def repeat(
    part: Measurements,
    question: Question,
    options: CriticismOptions,
    what: str,
    *,
    norm: str = "",
    kept: Booleans | None = None,
) -> Repeat:
    """The effect measured in another way; its effect is None if the groups cannot be compared.

    Args:
        part: The pictures of the class, N of them.
        question: The question.
        options: Confounders, primary norm, thresholds and seed.
        what: What is different.
        norm: The norm of the distances. Default: the primary norm.
        kept: [N], the pictures to use. Default: as in `compare`.
    """
    comparison = compare(part, question, options, norm=norm, kept=kept)
    if comparison.refusal():
        return Repeat(what, None, None, None, *comparison.sizes, beyond_threshold=False)
    effect, interval = _estimate(comparison, question, options)
    return Repeat(
        what, effect, *interval, *comparison.sizes, beyond_threshold=beyond(interval, threshold(question, options))
    )


def tails(part: Measurements, question: Question, options: CriticismOptions) -> tuple[Tail, ...]:
    """The prototypes and the criticisms of the class by the attribute, for distances; none of groups below `FLOOR`."""
    if question.kind != ADVERSARIAL_CRITICISM:
        return ()
    # The tails show the class as it is, without strata.
    groups = group(part, question, CriticismOptions(), part.right)
    if min(groups.n_with, groups.n_without) < FLOOR:
        return ()
    distances = part.distances[options.primary_norm][groups.rows]
    found = (tail(distances, groups.having, name) for name in ("prototypes", "criticisms"))
    return tuple(one for one in found if one)


def _estimate(comparison: Comparison, question: Question, options: CriticismOptions) -> tuple[float, Interval]:
    interval = comparison.interval(threshold(question, options), options.seed)
    return of_all(comparison.effect, len(comparison.groups.rows)), interval


def _accuracies(part: Measurements, question: Question) -> tuple[float, float]:
    groups = group(part, question, CriticismOptions(), np.ones(len(part), dtype=bool))
    right = part.right[groups.rows]
    return float(right[groups.having].mean()), float(right[~groups.having].mean())


def _repeats(part: Measurements, question: Question, options: CriticismOptions) -> Iterator[Repeat]:
    doubtful = part.reasons[options.primary_norm]
    others = [(f"norm {norm}", norm, part.right) for norm in part.distances if norm != options.primary_norm]
    if (doubtful & part.right).any():
        others.append(("without distances that carry reasons", options.primary_norm, part.right & ~doubtful))
    for what, norm, kept in others:
        yield repeat(part, question, options, what, norm=norm, kept=kept)
