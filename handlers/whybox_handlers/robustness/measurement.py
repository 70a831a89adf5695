"""How far a picture is from another answer: from the options to the attacks, and from what they find to the wire."""

import torch
from PIL import Image
from torch import Tensor

from whybox import v1
from whybox.v1.errors import DeadlineExceededError
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.pictures.png import png
from whybox_handlers.robustness.attacks import (
    ATTACKS,
    NORMS,
    Adversarial,
    Found,
)
from whybox_handlers.robustness.corruption_levels import measure_corruptions
from whybox_handlers.robustness.twin import twin
from whybox_handlers.robustness.verdict import DEADLINE, judge

MAX_EVALUATIONS = 1000
_LEVELS = 255
# Factors by which the change is enlarged until it survives rounding, and bisections of the last of them.
_ENLARGEMENTS = 7
_HALVINGS = 4
# The change is enlarged so many times to see whether that helps the network.
_ENLARGED = 2.0
_NOTHING_TRIED = Found(None, 0.0, None, 0, 0, DEADLINE, flip_met=False)


async def measure_robustness(
    part: v1.Robustness,
    classifier: Classifier,
    subject: Subject,
    options: v1.RobustnessOptions,
    seed: int,
    passes: Passes,
    request_id: str = "",
) -> list[bytes]:
    """Fills in the part. A distance that is found stays, whatever becomes of what comes after it.

    Args:
        part: What is filled in.
        classifier: The model.
        subject: The picture.
        options: With every default filled in.
        seed: Of the request.
        passes: Its limits hold; its account is left alone.
        request_id: For the log.

    Returns:
        For each norm the adversarial picture of 8 bits as PNG; empty where there is none.

    Raises:
        WhyboxError: Time was over before the first attack could begin, or the caller is gone.
    """
    part.view.CopyFrom(subject.view)
    pictures = []
    # What is yet to be done; each is given as much of the time.
    left = len(options.norms) * (1 + bool(options.twin)) + bool(options.corruptions)
    for norm in options.norms:
        try:
            found = await _search(passes, subject, norm, options, seed, 1 / left)
        except DeadlineExceededError:
            if not part.distances:
                raise
            found = _NOTHING_TRIED
        left -= 1
        distance = part.distances.add(norm=norm, attack=options.attack)
        pictures.append(await _describe(distance, classifier, subject, found, options, passes))
        if options.twin:
            own = passes.with_budget(None, "forward", 1 / left)
            if found.adversarial is not None:
                await twin(distance.twin, classifier, subject, found.adversarial, options.twin, seed, own, request_id)
            left -= 1
    await measure_corruptions(part, classifier, subject, options.corruptions, seed, passes, request_id)
    return pictures


def view_picture(subject: Subject) -> bytes:
    """The view in 8 bits, as PNG."""
    return _png(subject.picture)


async def _search(
    passes: Passes, subject: Subject, norm: str, options: v1.RobustnessOptions, seed: int, share: float
) -> Found:
    to_deadline = options.budget == DEADLINE
    evaluations = MAX_EVALUATIONS if to_deadline else int(options.budget)
    attack = ATTACKS[options.attack]
    return await attack.run(passes, subject, norm, evaluations, to_deadline=to_deadline, share=share, seed=seed)


async def _describe(
    distance: v1.Distance,
    classifier: Classifier,
    subject: Subject,
    found: Found,
    options: v1.RobustnessOptions,
    passes: Passes,
) -> bytes:
    """Fills in all but the twin; the adversarial picture of 8 bits as PNG."""
    _outcome(distance, classifier, subject, found)
    adversarial, picture, enlarged_flips = found.adversarial, b"", None
    if adversarial is not None:
        looking = passes.with_budget(None, "forward")
        enlarged_flips = await _flips(looking, subject, _enlarged(subject, adversarial, _ENLARGED))
        picture = await _realise(distance, looking, subject, adversarial)
        distance.forward_evaluations += looking.forward_evaluations
        if "adversarial" in options.encodings:
            distance.adversarial_picture = picture
        if "change" in options.encodings:
            distance.change_picture = _change_picture(adversarial.picture - subject.picture)
    judge(distance, classifier, found, enlarged_flips, options)
    return picture


def _outcome(distance: v1.Distance, classifier: Classifier, subject: Subject, found: Found) -> None:
    distance.state = "not_found" if found.adversarial is None else "found"
    distance.gradient_evaluations = found.gradient_evaluations
    distance.forward_evaluations = found.forward_evaluations
    distance.searched_radius = found.searched_radius
    distance.stopped_by = found.stopped_by
    if found.distance_at_half_budget is not None:
        distance.distance_at_half_budget = found.distance_at_half_budget
    predicted, runner_up = subject.logits.topk(2).indices.tolist()
    distance.predicted_class.CopyFrom(classifier.score(subject.logits, predicted))
    distance.runner_up_class.CopyFrom(classifier.score(subject.logits, runner_up))
    if found.adversarial is not None:
        distance.distance = found.adversarial.distance
        distance.unflipped_distance = found.adversarial.unflipped_distance
        flipped = int(found.adversarial.logits.argmax())
        distance.adversarial_class.CopyFrom(classifier.score(found.adversarial.logits, flipped))


async def _flips(passes: Passes, subject: Subject, picture: Tensor) -> bool | None:
    """None where there is no time to know."""
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

    Rounding takes away whatever is less than half a grey level, so the enlargement begins where the largest change
    becomes one.
    """
    exact = _rounded(adversarial.picture)
    survives = await _flips(passes, subject, exact)
    if survives is None:
        return b""
    distance.survives_8bit = survives
    if survives:
        return _noted(distance, subject, exact)
    largest = NORMS["linf"].size(adversarial.picture - subject.picture)
    low, high = 1.0, max(0.501 / _LEVELS / largest, 1.0)
    for _ in range(_ENLARGEMENTS):
        picture = _rounded(_enlarged(subject, adversarial, high))
        if await _flips(passes, subject, picture):
            break
        low, high = high, 2 * high
    else:
        return b""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        candidate = _rounded(_enlarged(subject, adversarial, middle))
        if torch.equal(candidate, picture):
            high = middle
        elif await _flips(passes, subject, candidate):
            high, picture = middle, candidate
        else:
            low = middle
    return _noted(distance, subject, picture)


def _noted(distance: v1.Distance, subject: Subject, picture: Tensor) -> bytes:
    distance.distance_8bit = NORMS[distance.norm].size(picture - subject.picture)
    return _png(picture)


def _rounded(picture: Tensor) -> Tensor:
    return torch.round(picture * _LEVELS) / _LEVELS


def _png(picture: Tensor) -> bytes:
    levels = torch.round(picture * _LEVELS).byte().permute(1, 2, 0).numpy()
    return png(Image.fromarray(levels))


def _change_picture(change: Tensor) -> bytes:
    """Grey is no change; the largest change of any channel is black or white."""
    return _png(0.5 + 0.5 * change / change.abs().max())
