"""What speaks against a map: its measurements, compared with limits."""

from collections.abc import Collection, Iterator

from whybox import v1
from whybox_handlers.explanations.explainers import Attribution, Explainer, Question
from whybox_handlers.explanations.maps.pixels import importance
from whybox_handlers.explanations.maps.ranks import is_constant

MIN_ADVANTAGE = 1e-4
"""Least difference of areas and of infidelities that counts; rounding makes smaller ones."""
MAX_SENSITIVITY = 1.0
"""A map that changes by more than its own size says something else about a picture that looks the same."""
MIN_RANK_CORRELATION = 0.7
"""At 0.7 the picture explains half of the variance of the ranks (0.7^2); below, rounding to 8 bits explains more."""
MIN_TOP_OVERLAP = 0.5
"""Rounding may move at most half of the map's most important pixels."""
MAX_GAP = 0.1
"""A complete map may miss a tenth of the change that it must explain: three times the default aim of path methods."""


def objections(
    part: v1.Quality,
    row: Explainer,
    question: Question,
    attribution: Attribution,
    late: Collection[str],
    unanswered: Collection[str] = (),
) -> Iterator[str]:
    """Sentences for people; none if nothing speaks against the map.

    Curves and infidelity have no absolute limit, because the network and the picture set their scale: the map must beat
    itself at random places.

    Args:
        part: The measurements.
        row: The method.
        question: The question of the map, with the names of the measurements that were asked for.
        attribution: The map.
        late: Names of the measurements for which there was no time.
        unanswered: Names of the measurements for which the model's output was not finite.
    """
    if is_constant(importance(attribution, question.picture)):
        yield "the map has the same value everywhere, so it points at nothing"
    if part.HasField("deletion") and not part.deletion.auc <= part.deletion.random_auc - MIN_ADVANTAGE:
        yield (
            f"deleting what the map calls important lowers the probability no more than deleting at random places "
            f"(deletion area {part.deletion.auc:.3f} against {part.deletion.random_auc:.3f})"
        )
    if part.HasField("insertion") and not part.insertion.auc >= part.insertion.random_auc + MIN_ADVANTAGE:
        yield (
            f"inserting what the map calls important raises the probability no more than inserting at random places "
            f"(insertion area {part.insertion.auc:.3f} against {part.insertion.random_auc:.3f})"
        )
    if part.HasField("infidelity"):
        if not part.infidelity <= part.random_infidelity - MIN_ADVANTAGE:
            yield (
                f"the map predicts changes of the logit no better than the same map at random places "
                f"(infidelity {part.infidelity:.3f} against {part.random_infidelity:.3f})"
            )
    elif "infidelity" in question.options.quality and "infidelity" not in (*late, *unanswered):
        yield "infidelity cannot be measured: no change of the picture changed the logit"
    if part.sensitivity > MAX_SENSITIVITY:
        yield (
            f"changing pixel values by at most 2 % changes the map by {part.sensitivity:.2f} times its size "
            f"(more than {MAX_SENSITIVITY:g})"
        )
    if part.HasField("stability"):
        if not part.stability.rank_correlation >= MIN_RANK_CORRELATION:
            yield (
                f"rounding the picture to 8 bits reorders the map: rank correlation "
                f"{part.stability.rank_correlation:.2f} (less than {MIN_RANK_CORRELATION:g})"
            )
        if not part.stability.top_overlap >= MIN_TOP_OVERLAP:
            yield (
                f"rounding the picture to 8 bits leaves {part.stability.top_overlap:.0%} of the map's strongest 5 % in "
                f"place (less than {MIN_TOP_OVERLAP:.0%})"
            )
    yield from _incomplete(row, question, attribution)
    for name in late:
        yield f"the deadline left no time to measure {name}"
    for name in unanswered:
        yield f"{name} cannot be measured: the model's output is not finite for a changed picture"


def _incomplete(row: Explainer, question: Question, attribution: Attribution) -> Iterator[str]:
    """What speaks against a map that missed the aim of its method; known without any measurement."""
    if attribution.residual is not None:
        # A tolerance of 0 asks to spend everything, not to be exact.
        aim = question.options.tolerance or row.default_tolerance
        if aim is not None and not attribution.residual <= aim:
            yield (
                f"the method ended ({attribution.stopped_by}) with a residual of {attribution.residual:.1%}, above its "
                f"tolerance of {aim:.1%}; allow more evaluations"
            )
    if attribution.complete and attribution.baseline_value is not None:
        change = question.value - attribution.baseline_value
        gap = abs(float(attribution.values.double().sum()) - change)
        if gap > MAX_GAP * abs(change):
            yield (
                f"the map's values miss the change of the logit that they should sum to by {gap:.3g} of "
                f"{change:.3g} (more than {MAX_GAP:.0%})"
            )
