"""Explanations in words: what a map tells, how far it can be trusted, and what its method is worth."""

from collections.abc import Iterator

from whybox._words.examples import example_lines
from whybox._words.shared import Line, Tone, class_words, cost_words, observation_lines, percent_words
from whybox.results import Explanation, Method, Quality, RandomisationTest, Region, Regions


def explanation_lines(explanation: Explanation) -> Iterator[Line]:
    """What the map explains, with its quality and its regions below; or the known pictures in its place."""
    if explanation.examples is not None:
        yield from example_lines(explanation, explanation.examples)
        yield from observation_lines(explanation.observations)
        return
    yield Line(explanation_words(explanation))
    if explanation.quality is not None:
        tone: Tone = "plain" if explanation.quality.reliable else "doubtful"
        yield Line(quality_words(explanation.quality), tone, depth=1)
    if explanation.regions is not None:
        yield Line(regions_words(explanation.regions), depth=1)
    yield from observation_lines(explanation.observations)


def explanation_words(explanation: Explanation) -> str:
    """What was explained, why the method stopped, and what it cost."""
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
    """The completeness gap of a path method, and the difference of logits that the map should sum to."""
    gap = f"completeness gap {explanation.convergence_delta:+.3f}"
    if explanation.baseline_logit is None or explanation.target_logit == explanation.baseline_logit:
        return f"{gap} logits"
    rise = explanation.target_logit - explanation.baseline_logit
    return f"{gap} of {rise:+.2f} logits"


def ending_words(explanation: Explanation) -> list[str]:
    """What stopped the method, and its residual, for example "stopped by evaluations at residual 7.1 %"."""
    # "done" stands for a method that always takes the same number of evaluations.
    words = [f"stopped by {explanation.stopped_by}"] if explanation.stopped_by not in ("", "done") else []
    if explanation.residual is not None:
        words.append(f"residual {percent_words(explanation.residual)}")
    return [" at ".join(words)] if words else []


def verdict_words(quality: Quality) -> str:
    """Whether the map is reliable, and if not, why."""
    return "reliable" if quality.reliable else f"not reliable: {'; '.join(quality.reasons)}"


def quality_words(quality: Quality) -> str:
    """The verdict on a map, the measurements behind it, and what they cost."""
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
    """Which superpixels suffice, and which are necessary."""
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
    """The region's share of the view, for example "18 %"."""
    return f"{100 * region.area:.0f} %" if not 0 < region.area < 0.01 else "under 1 %"


def randomisation_words(test: RandomisationTest) -> str:
    """Whether a method's maps depend on what the network has learnt."""
    numbers = (
        f"similarity {test.similarity:.2f}, limit {test.threshold:.2f}; "
        f"pictures: {test.pictures}, evaluations for a map: at most {test.evaluations}"
    )
    if test.passed:
        return f"passed the randomisation test ({numbers})"
    return f"failed the randomisation test: its maps stay similar when weights are randomised ({numbers})"


def evaluations_words(method: Method) -> str:
    """The limits of a method by default; empty for a method without limits to set."""
    if "max_evaluations" not in method.options:
        return ""
    words = f"up to {method.default_evaluations} {method.evaluations} evaluations"
    return f"{words}, tolerance {percent_words(method.default_tolerance)}" if "tolerance" in method.options else words


def _sufficient_words(region: Region, segments: int) -> str:
    if not region.found:
        return "no sufficient set of superpixels was found"
    if not region.segments:
        return f"no superpixel is needed: {_kept_words(region)}"
    verb = "suffices" if region.segments == 1 else "suffice"
    share = f"{region.segments} of {segments} superpixels ({area_words(region)} of the view)"
    return f"{share} {verb}: {_kept_words(region)}"


def _necessary_words(region: Region) -> str:
    if not region.found:
        return "no removal changes the answer: it holds for the baseline too"
    becomes = "changes the answer" if region.predicted is None else f"makes it {class_words(region.predicted)}"
    noun = "superpixel" if region.segments == 1 else "superpixels"
    return f"removing {region.segments} {noun} ({area_words(region)}) {becomes}"


def _kept_words(region: Region) -> str:
    # Even with a contrast class, a third class may have the largest logit.
    scores = [score for score in (region.target, region.predicted) if score is not None]
    if len(scores) == 2 and scores[0].index == scores[1].index:
        scores = scores[:1]
    return ", behind ".join(class_words(score) for score in scores)
