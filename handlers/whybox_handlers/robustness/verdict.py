"""What speaks against a distance: of the model, and of the search that found it."""

from collections.abc import Iterator

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.robustness.attacks import ATTACKS, Adversarial, Found

DEADLINE = "deadline"
"""The budget that is what the time of the call allows."""

# Half of the budget must not leave more than this to be gained.
_SETTLED = 1.25
# Of fewer evaluations the first half goes into looking around, and has nothing to have found.
_TELLING = 20


def judge(
    distance: v1.Distance,
    classifier: Classifier,
    found: Found,
    enlarged_flips: bool | None,
    options: v1.RobustnessOptions,
) -> None:
    """What speaks against the distance, of the model and of this search."""
    reasons = distance.reasons
    reasons.extend(objections_to_attacks(classifier.model.attack_check, ATTACKS[distance.attack].evaluations))
    if found.stopped_by == "flat":
        reasons.append("the gradient vanished, so that the search had no direction; try an attack without gradients")
    if found.stopped_by == "deadline" and options.budget != DEADLINE:
        reasons.append("the deadline ended the search before its budget was spent")
    if found.adversarial is None:
        reasons.append("nothing was found: the distance is only known to be censored")
    else:
        if enlarged_flips is False:
            reasons.append("twice the change does not flip the answer: a larger change helps the model")
        reasons.extend(_unsettled(found, found.adversarial))
    distance.reliable = not reasons


def _unsettled(found: Found, adversarial: Adversarial) -> Iterator[str]:
    """Whether more evaluations would have found less; those who had no further step to make would not."""
    half, spent = found.distance_at_half_budget, found.gradient_evaluations or found.forward_evaluations
    if found.stopped_by == "converged":
        return
    if not found.flip_met:
        yield "the search met no flip, and only its last direction was followed: a larger budget may find far less"
    elif half is None and spent >= _TELLING:
        yield "nothing was found in the first half of the budget: a larger one may find smaller changes"
    elif half is not None and half > _SETTLED * adversarial.distance:
        yield "the second half of the budget still gained much: a larger one may gain more"


def objections_to_attacks(check: v1.AttackCheck, evaluations: str = "gradient") -> list[str]:
    """What the outcomes say against attacks, for people.

    Args:
        check: Of a model; without pictures, it was never made.
        evaluations: What the attacks spend, "gradient" or "forward": not all that misleads the one misleads the other.
    """
    if not check.pictures:
        return ["the model was never tested for randomness and masked gradients: pack it again"]
    against_all = {
        "the network is random: the same picture gives other logits each time": check.repetition_difference > 0,
        "a larger change helps the network: its answer flips back along the ray": check.radius_helps_share > 0,
    }
    against_gradients = {
        "the network gives probabilities instead of logits, whose gradients vanish where they saturate": (
            check.softmax_output
        ),
        "gradients are zero almost everywhere: attacks that follow them see nothing": check.zero_gradient_share > 0,
        "an attack without gradients finds smaller changes than one with gradients: the gradients mislead": (
            check.black_box_better_share > 0
        ),
        "the network computes gradients to answer, which attacks would have to follow too": (
            check.optimises_at_inference
        ),
        "no adversarial picture could be planted: small changes do not reach the network's output": check.planted == 0,
        "planted adversarial pictures were not found": check.planted_found < check.planted,
    }
    told = against_all | (against_gradients if evaluations == "gradient" else {})
    return [words for words, holds in told.items() if holds]
