"""What speaks against a distance: properties of the model, and of the search that found it."""

from collections.abc import Iterator

from whybox import v1
from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.robustness.attacks import ATTACKS, Adversarial, Found

# The distance at half of the budget is at most this multiple of a settled distance.
_SETTLED = 1.25
# The first half of a smaller budget goes into looking around, so it proves nothing to have found no flip.
_TELLING = 20


def judge(
    check: v1.AttackCheck, found: Found, enlarged_flips: bool | None, options: v1.RobustnessOptions
) -> Iterator[str]:
    """What speaks against a distance, of the model and of this search; sentences for people.

    Args:
        check: What is known about attacks on the model.
        found: The outcome of the search.
        enlarged_flips: Whether twice the change flips the answer too; None if that is not known.
        options: `attack` and `budget` are read.
    """
    yield from objections_to_attacks(check, ATTACKS[options.attack].evaluations)
    if found.stopped_by == "flat":
        yield (
            "the gradient vanished or is not finite, so that the search had no direction; try an attack without "
            "gradients"
        )
    if found.adversarial is not None and found.adversarial.tied_with is not None:
        yield (
            "the distance is 0, because another class has exactly the same logit: the prediction rests on the order of "
            "the classes alone"
        )
    if found.stopped_by == DEADLINE and options.budget != DEADLINE:
        yield "the deadline ended the search before its budget was spent"
    if found.adversarial is None:
        yield "no flip was found up to `searched_radius`; a smaller flip may still exist"
    else:
        if enlarged_flips is False:
            yield "enlarging the change restores the original answer: twice the change does not flip it"
        yield from _unsettled(found, found.adversarial)


def _unsettled(found: Found, adversarial: Adversarial) -> Iterator[str]:
    """Signs that a larger budget would find a smaller change; a search that has converged has none."""
    half, spent = found.distance_at_half_budget, found.gradient_evaluations or found.forward_evaluations
    if found.stopped_by == "converged":
        return
    if not found.flip_met:
        yield "the search met no flip, and only its last direction was followed: a larger budget may find far less"
    elif half is None and spent >= _TELLING:
        yield "no flip was found in the first half of the budget: a larger budget may find smaller changes"
    elif half is not None and half > _SETTLED * adversarial.distance:
        yield "the second half of the budget still reduced the distance by much: a larger budget may reduce it further"


def objections_to_attacks(check: v1.AttackCheck, evaluations: str = "gradient") -> list[str]:
    """What the checks of packing say against attacks, for people.

    Args:
        check: The check of a model; one without pictures was never made.
        evaluations: What the attacks spend, "gradient" or "forward": some outcomes speak only against gradients.
    """
    if not check.pictures:
        return ["the model was never tested for randomness and masked gradients: pack it again"]
    against_all = {
        "the network is random: the same picture gives other logits each time": check.repetition_difference > 0,
        "enlarging the change restores the original answer": check.radius_helps_share > 0,
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
