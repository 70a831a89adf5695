"""How far a picture is from another answer: from the options to the attacks, and from what they find to the wire."""

from dataclasses import dataclass

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.errors import DeadlineExceededError
from whybox.v1.vocabulary import DEADLINE, MAX_BUDGET
from whybox_handlers.models.case import Case
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.pictures.levels import LEVELS, image, rounded
from whybox_handlers.pictures.png import png
from whybox_handlers.robustness.attacks import (
    ATTACKS,
    NORMS,
    Adversarial,
    Found,
)
from whybox_handlers.robustness.corruption_levels import measure_corruptions
from whybox_handlers.robustness.criticisms import criticism_like
from whybox_handlers.robustness.percentiles import add_percentile
from whybox_handlers.robustness.twin import measure_twin
from whybox_handlers.robustness.verdict import judge

# Times that the change is doubled until it survives rounding, and bisections of the last doubling.
_ENLARGEMENTS = 7
_HALVINGS = 4
# The factor by which the change is enlarged to see whether that restores the original answer.
_ENLARGED = 2.0
_NOTHING_TRIED = Found(None, 0.0, None, 0, 0, DEADLINE, flip_met=False)


@dataclass(frozen=True)
class Measured:
    """How far one picture is from another answer.

    Attributes:
        part: The part of the answer.
        pictures: The adversarial picture of 8 bits as PNG for each norm; empty if there is none.
    """

    part: v1.Robustness
    pictures: tuple[bytes, ...]


async def measure_robustness(
    case: Case, options: v1.RobustnessOptions, passes: Passes, twin: v1.ExplanationOptions | None = None
) -> Measured:
    """Searches the nearest other answer in each norm. A distance that was found stays, whatever happens after it.

    Args:
        case: Model, picture, seed, and the request's name for the log.
        options: With every default filled in.
        passes: Its limits hold; its account is left alone.
        twin: Options of the maps of both pictures, with every default filled in; None for no maps.

    Raises:
        WhyboxError: Time was over before the first attack could begin, or the caller is gone.
    """
    part, pictures = v1.Robustness(status={}, view=case.subject.view), []
    # The steps that are still to be done; each gets an equal share of the time.
    left = len(options.norms) * (1 if twin is None else 2) + bool(options.corruptions)
    for norm in options.norms:
        try:
            found = await _search(case, norm, options, passes, 1 / left)
        except DeadlineExceededError:
            if not part.distances:
                raise
            found = _NOTHING_TRIED
        left -= 1
        distance, picture = await _described(case, norm, found, options, passes)
        pictures.append(picture)
        if twin is not None:
            own = passes.with_budget(None, "forward", 1 / left)
            if found.adversarial is not None:
                distance.twin.CopyFrom(await measure_twin(case, found.adversarial, twin, own))
            left -= 1
        part.distances.append(distance)
    part.corruptions.extend(await measure_corruptions(case, options.corruptions, passes))
    return Measured(part, tuple(pictures))


def view_picture(subject: Subject) -> bytes:
    """The view in 8 bits, as PNG."""
    return png(image(subject.picture))


async def _search(case: Case, norm: str, options: v1.RobustnessOptions, passes: Passes, share: float) -> Found:
    to_deadline = options.budget == DEADLINE
    evaluations = MAX_BUDGET if to_deadline else int(options.budget)
    attack = ATTACKS[options.attack]
    return await attack.run(
        passes, case.subject, norm, evaluations, to_deadline=to_deadline, share=share, seed=case.seed
    )


async def _described(
    case: Case, norm: str, found: Found, options: v1.RobustnessOptions, passes: Passes
) -> tuple[v1.Distance, bytes]:
    """All but the twin; and the adversarial picture of 8 bits as PNG."""
    distance = _outcome(case, norm, found, options)
    adversarial, picture, enlarged_flips = found.adversarial, b"", None
    if adversarial is not None:
        if adversarial.distance:
            looking = passes.with_budget(None, "forward")
            enlarged_flips = await _flips(looking, case.subject, _enlarged(case.subject, adversarial, _ENLARGED))
            picture = await _realise(distance, looking, case.subject, adversarial)
            distance.forward_evaluations += looking.forward_evaluations
        if "adversarial" in options.encodings:
            distance.adversarial_picture = picture
        if "change" in options.encodings:
            distance.change_picture = _change_picture(adversarial.picture - case.subject.picture)
    distance.reasons.extend(judge(case.classifier.model.attack_check, found, enlarged_flips, options))
    distance.reliable = not distance.reasons
    add_percentile(distance, case.classifier, options)
    distance.observations.append(criticism_like(distance, case.classifier))
    return distance, picture


def _outcome(case: Case, norm: str, found: Found, options: v1.RobustnessOptions) -> v1.Distance:
    subject, score = case.subject, case.classifier.score
    predicted, runner_up = subject.order[:2]
    distance = v1.Distance(
        norm=norm,
        attack=options.attack,
        state="not_found" if found.adversarial is None else "found",
        gradient_evaluations=found.gradient_evaluations,
        forward_evaluations=found.forward_evaluations,
        searched_radius=found.searched_radius,
        stopped_by=found.stopped_by,
        distance_at_half_budget=found.distance_at_half_budget,
        predicted_class=score(subject.logits, predicted),
        runner_up_class=score(subject.logits, runner_up),
    )
    if found.adversarial is not None:
        distance.distance = found.adversarial.distance
        distance.unflipped_distance = found.adversarial.unflipped_distance
        distance.adversarial_class.CopyFrom(score(found.adversarial.logits, found.adversarial.predicted))
    return distance


async def _flips(passes: Passes, subject: Subject, picture: Tensor) -> bool | None:
    """None if there is no time to know."""
    if not passes.grant(1):
        return None
    try:
        [logits], *_ = await passes.forward(serve_alone, picture[None])
    except DeadlineExceededError:
        return None
    return subject.flips(logits)


def _enlarged(subject: Subject, adversarial: Adversarial, factor: float) -> Tensor:
    change = adversarial.picture - subject.picture
    return (subject.picture + factor * change).clamp(0, 1)


async def _realise(distance: v1.Distance, passes: Passes, subject: Subject, adversarial: Adversarial) -> bytes:
    """The smallest enlargement of the change that still flips when it is rounded to 8 bits, as far as time allows.

    Rounding removes changes of less than half a grey level, so the enlargement begins at the factor that makes the
    largest change one level. The findings are written into `distance` one by one, because time may end in between.
    """
    exact = rounded(adversarial.picture)
    survives = await _flips(passes, subject, exact)
    if survives is None:
        return b""
    distance.survives_8bit = survives
    if survives:
        return _noted(distance, subject, exact)
    largest = NORMS["linf"].size(adversarial.picture - subject.picture)
    low, high = 1.0, max(0.501 / LEVELS / largest, 1.0)
    for _ in range(_ENLARGEMENTS):
        picture = rounded(_enlarged(subject, adversarial, high))
        if await _flips(passes, subject, picture):
            break
        low, high = high, 2 * high
    else:
        return b""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        candidate = rounded(_enlarged(subject, adversarial, middle))
        if torch.equal(candidate, picture):
            high = middle
        elif await _flips(passes, subject, candidate):
            high, picture = middle, candidate
        else:
            low = middle
    return _noted(distance, subject, picture)


def _noted(distance: v1.Distance, subject: Subject, picture: Tensor) -> bytes:
    distance.distance_8bit = NORMS[distance.norm].size(picture - subject.picture)
    return png(image(picture))


def _change_picture(change: Tensor) -> bytes:
    """Grey is no change; the largest change of any channel is black or white."""
    largest = change.abs().max()
    return png(image(0.5 + 0.5 * change / torch.where(largest > 0, largest, 1)))
