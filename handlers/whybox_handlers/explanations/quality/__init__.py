"""How far one map can be trusted: its measurements through the network, and the verdict on them."""

from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import Attribution, Explainer, Question
from whybox_handlers.explanations.quality.curves import CURVE_EVALUATIONS, deletion, insertion
from whybox_handlers.explanations.quality.infidelity import INFIDELITY_EVALUATIONS, infidelity
from whybox_handlers.explanations.quality.stability import Repetition, sensitivity, stability
from whybox_handlers.explanations.quality.verdict import objections
from whybox_handlers.models.subject import NOT_FINITE
from whybox_handlers.passes.account import Passes

__all__ = ["measure_quality"]

_EVALUATIONS = {
    "deletion": CURVE_EVALUATIONS,
    "insertion": CURVE_EVALUATIONS,
    "infidelity": INFIDELITY_EVALUATIONS,
}
"""Cost of the measurements that do not repeat the method, in forward evaluations."""


async def measure_quality(row: Explainer, question: Question, attribution: Attribution, passes: Passes) -> v1.Quality:
    """Makes the measurements that the question's options name, and says what speaks against the map.

    A measurement for which the deadline leaves no time, or for which the model's output is not finite, is left out, and
    the map is then not called reliable.

    Args:
        row: The method that made the map.
        question: The question of the map.
        attribution: The map.
        passes: Its limits hold; its account is left alone.
    """
    part = v1.Quality()
    own = passes.unlimited()
    repetition = Repetition(row, question, question.options.max_evaluations or None, passes)
    late, unanswered = [], []
    for name in question.options.quality:
        if own.grant(_EVALUATIONS.get(name, 0)).count < _EVALUATIONS.get(name, 0):
            late.append(name)
            continue
        try:
            await _measure(part, name, own, repetition, question, attribution)
        except FailedPreconditionError as error:
            if error.reason != NOT_FINITE:
                raise
            unanswered.append(name)
        if repetition.late and name in ("sensitivity", "stability"):
            late.append(name)
    part.reasons.extend(objections(part, row, question, attribution, late, unanswered))
    part.reliable = not part.reasons
    part.forward_evaluations = own.forward_evaluations + repetition.forward_evaluations
    part.gradient_evaluations = own.gradient_evaluations + repetition.gradient_evaluations
    return part


async def _measure(
    part: v1.Quality, name: str, passes: Passes, repetition: Repetition, question: Question, attribution: Attribution
) -> None:
    """Makes one measurement; `part` gets it unless it cannot be made."""
    if name == "deletion":
        part.deletion.CopyFrom(await deletion(passes, question, attribution))
    elif name == "insertion":
        part.insertion.CopyFrom(await insertion(passes, question, attribution))
    elif name == "infidelity":
        found = await infidelity(passes, question, attribution)
        if found is not None:
            part.infidelity, part.uniform_infidelity, part.random_infidelity = found
    elif name == "sensitivity":
        largest = await sensitivity(repetition, attribution)
        if largest is not None:
            part.sensitivity = largest
    elif name == "stability":
        steady = await stability(repetition, attribution)
        if steady is not None:
            part.stability.CopyFrom(steady)
