"""Which common corruptions and changes of geometry change the answer, and how strong they must be for it."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError
from whybox_handlers.failures import note
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject, is_answer
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.robustness.corruptions import CORRUPTIONS, Corruption

# Of the time that is left, what may be spent: spoiling the next picture takes time too, which no pass tells.
_SHARE = 0.8


async def measure_corruptions(
    part: v1.Robustness,
    classifier: Classifier,
    subject: Subject,
    names: Iterable[str],
    seed: int,
    passes: Passes,
    request_id: str = "",
) -> None:
    """Adds what each of the corruptions does to the answer; those that the deadline does not allow, or fail, say so.

    Args:
        part: What is filled in.
        classifier: The model.
        subject: The picture.
        names: Of `CORRUPTIONS`.
        seed: Of corruptions that draw.
        passes: Its limits hold; its account is left alone.
        request_id: For the log.

    Raises:
        CancelledError: The caller is gone.
    """
    own = passes.with_budget(None, "forward", _SHARE)
    late = False
    for name in names:
        described = part.corruptions.add(name=name, group=CORRUPTIONS[name].group, status={})
        try:
            late = late or not await _measure(described, own, classifier, subject, seed)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 (the distances have been found, whatever happens here)
            described.ClearField("levels")
            described.ClearField("first_flip")
            note(described.status, error, request_id)
        else:
            described.stopped_by = "deadline" if late else ""


async def _measure(
    described: v1.Corruption, passes: Passes, classifier: Classifier, subject: Subject, seed: int
) -> bool:
    """Adds level by level; False where there was no time for all."""
    corruption = CORRUPTIONS[described.name]
    for severity in range(1, len(corruption.strengths) + 1):
        logits = await _logits(passes, corruption, subject, severity, seed)
        if logits is None:
            return False
        level = _level(severity, classifier, subject, logits)
        described.levels.append(level)
        if level.flips and not described.HasField("first_flip"):
            described.first_flip = severity
    return True


async def _logits(
    passes: Passes, corruption: Corruption[Any], subject: Subject, severity: int, seed: int
) -> Tensor | None:
    """Of each of the spoilt pictures, [N, classes]; None where there is no time for it."""
    if not passes.grant(1):
        return None
    pictures = corruption.pictures(subject.picture, severity, seed)
    try:
        (logits,) = await passes.forward(serve_alone, pictures)
    except DeadlineExceededError:
        return None
    return logits


def _level(severity: int, classifier: Classifier, subject: Subject, logits: Tensor) -> v1.CorruptionLevel:
    """The worst direction: the first in which the answer changes; without one, the first that has an answer."""
    answers = sorted((row for row in logits if is_answer(row)), key=subject.flips, reverse=True)
    level = v1.CorruptionLevel(severity=severity)
    if answers:
        level.flips = subject.flips(answers[0])
        level.predicted_class.CopyFrom(classifier.score(answers[0], int(answers[0].argmax())))
    return level
