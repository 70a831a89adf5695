"""Whether the labels of the nearest audited pictures agree with an answer."""

from collections import Counter
from collections.abc import Iterator, Sequence

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.references import References

NEAREST = 10
"""The nearest pictures whose labels count; and the fewest of a class that can be expected among them."""

NEIGHBOURS_DISAGREE, LABEL_AMBIGUOUS = "neighbours_disagree", "label_ambiguous"

_MOST = 0.5
# Two of ten neighbours, and a tenth of the probability. When EfficientNet-Lite0 chose among ten classes, 12 of 500
# pictures had more of both; its answer was right for 5 of them, and for 482 of the others.
_DIVIDED = 0.1


def observe_neighbours(
    classifier: Classifier, subject: Subject, references: References, nearest: Sequence[int]
) -> Iterator[v1.Observation]:
    """One observation of each kind about the answer, which is the predicted class whatever is explained.

    Args:
        classifier: The model with its audit.
        subject: The picture, looked at.
        references: The audited pictures.
        nearest: The classes that the labels of the nearest of them name, the most similar first.
    """
    answer, runner_up = (classifier.score(subject.logits, index) for index in subject.order[:2])
    yield _disagree(classifier, answer, references, nearest)
    yield _ambiguous(classifier, answer, runner_up, references, nearest)


def _disagree(
    classifier: Classifier, answer: v1.ClassScore, references: References, nearest: Sequence[int]
) -> v1.Observation:
    if why := _too_few(classifier, references, answer):
        return v1.Observation(kind=NEIGHBOURS_DISAGREE, state="not_measured", message=why)
    audit, number = classifier.model.audit.id, len(nearest)
    others = [label for label in nearest if label != answer.index]
    message = f"{len(others)} of the {number} nearest pictures of audit {audit} have other labels than {answer.label!r}"
    if others:
        [(label, times)] = Counter(others).most_common(1)
        message += f", {times} of them {classifier.label(label)!r}"
    return _measured(NEIGHBOURS_DISAGREE, len(others) / number, _MOST, message, number, audit)


def _ambiguous(
    classifier: Classifier,
    answer: v1.ClassScore,
    runner_up: v1.ClassScore,
    references: References,
    nearest: Sequence[int],
) -> v1.Observation:
    if why := _too_few(classifier, references, answer, runner_up):
        return v1.Observation(kind=LABEL_AMBIGUOUS, state="not_measured", message=why)
    audit, both = classifier.model.audit.id, (answer, runner_up)
    shown = [nearest.count(score.index) for score in both]
    by_network = runner_up.probability / (answer.probability + runner_up.probability)
    by_labels = min(shown) / len(nearest)
    network, labels = (
        " and ".join(f"{how} {score.label!r}" for how, score in zip(numbers, both, strict=True))
        for numbers in (
            [f"{100 * score.probability:.1f} % to" for score in both],
            [f"{number} show" for number in shown],
        )
    )
    message = f"the network gives {network}; of the {len(nearest)} nearest pictures of audit {audit}, {labels}"
    return _measured(LABEL_AMBIGUOUS, min(by_network, by_labels), _DIVIDED, message, len(nearest), audit)


def _measured(kind: str, value: float, threshold: float, message: str, number: int, audit: str) -> v1.Observation:
    state = "noted" if value > threshold else "not_noted"
    return v1.Observation(
        kind=kind, state=state, message=message, value=value, threshold=threshold, n=number, audit_id=audit
    )


def _too_few(classifier: Classifier, references: References, *classes: v1.ClassScore) -> str:
    """Why the neighbours cannot show these classes; empty if they can."""
    for score in classes:
        if (number := references.count(score.index)) < NEAREST:
            pictures = f"{number} picture{'' if number == 1 else 's'} of class {score.label!r}"
            return (
                f"audit {classifier.model.audit.id} has {pictures}; it takes {NEAREST} to expect them among the nearest"
            )
    return ""
