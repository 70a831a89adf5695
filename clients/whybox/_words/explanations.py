"""Explanations in words: what a map tells, how far it can be trusted, and what the method that made it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whybox._words.shared import class_words, cost_words, percent_words

if TYPE_CHECKING:
    from whybox.results import Explanation, Method, Quality, RandomisationTest, Region, Regions


def explanation_words(explanation: Explanation) -> str:
    """What was explained, how far the method came, and what it cost."""
    words = [f"{explanation.method}: {question_words(explanation)}"]
    if explanation.signed:
        words[0] += " (and against it)"
    if explanation.convergence_delta is not None:
        words.append(delta_words(explanation))
    words += ending_words(explanation)
    words.append(cost_words(explanation.forward_evaluations, explanation.gradient_evaluations))
    return "; ".join(words)


def question_words(explanation: Explanation) -> str:
    """For example "evidence for dalmatian", or "why dalmatian rather than pointer"."""
    if explanation.contrast_class is None:
        return f"evidence for {explanation.target_label}"
    return f"why {explanation.target_label} rather than {explanation.contrast_label}"


def delta_words(explanation: Explanation) -> str:
    """The completeness gap of a path method, with its share of what there was to explain."""
    gap = f"completeness gap {explanation.convergence_delta:+.3f}"
    if explanation.baseline_logit is None or explanation.target_logit == explanation.baseline_logit:
        return f"{gap} logits"
    rise = explanation.target_logit - explanation.baseline_logit
    return f"{gap} of {rise:+.2f} logits"


def ending_words(explanation: Explanation) -> list[str]:
    """What stopped the method, and how much was then left, for example "stopped by evaluations at residual 7.1 %"."""
    # A method that ended by itself had nothing left to stop it.
    words = [f"stopped by {explanation.stopped_by}"] if explanation.stopped_by not in ("", "done") else []
    if explanation.residual is not None:
        words.append(f"residual {percent_words(explanation.residual)}")
    return [" at ".join(words)] if words else []


def verdict_words(quality: Quality) -> str:
    """Whether a map can be relied on, and if not, what speaks against it."""
    return "reliable" if quality.reliable else f"not reliable: {'; '.join(quality.reasons)}"


def quality_words(quality: Quality) -> str:
    """The verdict on a map, the numbers that it rests on, and what they cost."""
    measured = [
        f"{name} AUC {curve.auc:.2f} (random places {curve.random_auc:.2f})"
        for name, curve in (("deletion", quality.deletion), ("insertion", quality.insertion))
        if curve is not None
    ]
    if quality.infidelity is not None:
        rival = "" if quality.random_infidelity is None else f" (random places {quality.random_infidelity:.2f})"
        measured.append(f"infidelity {quality.infidelity:.2f}{rival}")
    if quality.sensitivity is not None:
        measured.append(f"sensitivity {quality.sensitivity:.2f}")
    if quality.stability is not None:
        measured.append(
            f"8-bit noise: rank correlation {quality.stability.rank_correlation:.2f}, "
            f"top overlap {percent_words(quality.stability.top_overlap)}"
        )
    cost = cost_words(quality.forward_evaluations, quality.gradient_evaluations)
    return f"{verdict_words(quality)} ({'; '.join([*measured, cost])})"


def regions_words(regions: Regions) -> str:
    """What suffices and what is necessary, for example "12 of 60 superpixels (18 % of the view) suffice: ..."."""
    sides = [side for side in (regions.sufficient, regions.necessary) if side is not None]
    if any(side.state == "not_held" for side in sides):
        return "no regions: the answer does not hold even for the whole picture"
    words = []
    if regions.sufficient is not None:
        words.append(_sufficient_words(regions.sufficient, regions.segments))
    if regions.necessary is not None:
        words.append(_necessary_words(regions.necessary))
    return "; ".join(words)


def area_words(region: Region) -> str:
    """Its share of the view, for example "18 %"."""
    return f"{100 * region.area:.0f} %" if not 0 < region.area < 0.01 else "under 1 %"


def randomisation_words(test: RandomisationTest) -> str:
    """Whether a method's maps depend on what the network has learnt."""
    numbers = f"similarity {test.similarity:.2f}, limit {test.threshold:.2f}, {test.pictures} pictures"
    if test.passed:
        return f"passed the randomisation test ({numbers})"
    return f"failed the randomisation test: its maps stay alike for random weights ({numbers})"


def evaluations_words(method: Method) -> str:
    """What a method may spend unless told otherwise; empty where it cannot be told."""
    if "max_evaluations" not in method.options:
        return ""
    words = f"up to {method.default_evaluations} {method.evaluations} evaluations"
    return f"{words}, tolerance {percent_words(method.default_tolerance)}" if "tolerance" in method.options else words


def _sufficient_words(region: Region, segments: int) -> str:
    if not region.found:
        return "no set of superpixels was found that suffices"
    if not region.segments:
        return f"nothing of the picture is needed: {_kept_words(region)}"
    verb = "suffices" if region.segments == 1 else "suffice"
    share = f"{region.segments} of {segments} superpixels ({area_words(region)} of the view)"
    return f"{share} {verb}: {_kept_words(region)}"


def _necessary_words(region: Region) -> str:
    if not region.found:
        return "no removal changes the answer, which holds for the baseline too"
    becomes = "changes the answer" if region.predicted is None else f"makes it {class_words(region.predicted)}"
    noun = "superpixel" if region.segments == 1 else "superpixels"
    return f"removing {region.segments} {noun} ({area_words(region)}) {becomes}"


def _kept_words(region: Region) -> str:
    # With a contrast class, a third class may have the largest logit all the same.
    scores = [score for score in (region.target, region.predicted) if score is not None]
    if len(scores) == 2 and scores[0].index == scores[1].index:
        scores = scores[:1]
    return ", behind ".join(class_words(score) for score in scores)
