"""Which common corruptions and changes of geometry change the answer, and how strong they must be for it."""

from collections.abc import Iterable

from torch import Tensor

from whybox import v1
from whybox_handlers.classifier import Classifier
from whybox_handlers.corruptions import CORRUPTIONS
from whybox_handlers.passes import Passes, serve_alone
from whybox_handlers.subject import Subject

# Of the time that is left, what may be spent: spoiling the next picture takes time too, which no pass tells.
_SHARE = 0.8


async def measure_corruptions(
    part: v1.Robustness, classifier: Classifier, subject: Subject, names: Iterable[str], seed: int, passes: Passes
) -> None:
    """Adds what each of the corruptions does to the answer; those that the deadline does not allow say so.

    Args:
        part: What is filled in.
        classifier: The model.
        subject: The picture.
        names: Of `CORRUPTIONS`.
        seed: Of corruptions that draw.
        passes: Its limits hold; its account is left alone.

    Raises:
        WhyboxError: The caller is gone.
    """
    own = passes.with_budget(None, "forward", _SHARE)
    for name in names:
        corruption = CORRUPTIONS[name]
        described = part.corruptions.add(name=name, group=corruption.group)
        for severity in range(1, len(corruption.strengths) + 1):
            if not own.grant(1):
                described.stopped_by = own.stopped_by
                break
            pictures = corruption.pictures(subject.picture, severity, seed)
            (logits,) = await own.forward(serve_alone, pictures)
            level = _level(severity, classifier, subject, logits)
            described.levels.append(level)
            if level.flips and not described.HasField("first_flip"):
                described.first_flip = severity


def _level(severity: int, classifier: Classifier, subject: Subject, logits: Tensor) -> v1.CorruptionLevel:
    """The worst direction: the first in which the answer changes."""
    answers = logits.argmax(dim=1).tolist()
    worst = next((row for row, answer in enumerate(answers) if answer != subject.predicted), 0)
    level = v1.CorruptionLevel(severity=severity, flips=answers[worst] != subject.predicted)
    level.predicted_class.CopyFrom(classifier.score(logits[worst], answers[worst]))
    return level
