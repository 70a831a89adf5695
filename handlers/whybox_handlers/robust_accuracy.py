"""From labelled pictures to how far each is from another answer: what an audit of a data set measures."""

from collections.abc import Sequence
from dataclasses import dataclass

from whybox import v1
from whybox.v1.errors import PictureError
from whybox_handlers import pictures
from whybox_handlers.classifier import Classifier
from whybox_handlers.passes import Limits, Passes
from whybox_handlers.robustness import measure_robustness
from whybox_handlers.scheduler import Task, run
from whybox_handlers.subject import Subject


@dataclass(frozen=True)
class Measured:
    """What was found out about one picture.

    Attributes:
        predicted: Index of the class with the largest logit.
        distances: One for each norm of the options, as the service answers them; empty where the prediction is wrong,
            for such a picture is at distance 0 from an error without any change.
    """

    predicted: int
    distances: tuple[v1.Distance, ...] = ()


def measure(
    classifier: Classifier, images: Sequence[bytes], labels: Sequence[int], options: v1.RobustnessOptions, seed: int
) -> list[Measured | PictureError]:
    """Predicts pictures, and attacks those whose prediction is right; the attacks share their passes.

    Args:
        classifier: The model.
        images: Encoded pictures.
        labels: Index of the right class of each.
        options: With every default filled in; the budget is a number.
        seed: Of attacks that draw, the same for each picture.

    Returns:
        For each picture what was found out, or why it cannot be decoded.

    Raises:
        Exception: An attack failed for another reason than the picture.
    """
    measured: list[Measured | PictureError] = []
    parts: dict[int, v1.Robustness] = {}
    tasks = []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        try:
            subject = _subject(classifier, image)
        except PictureError as error:
            measured.append(error)
            continue
        measured.append(Measured(subject.predicted))
        if subject.predicted == label:
            part = parts[index] = v1.Robustness()
            searching = measure_robustness(part, classifier, subject, options, seed, Passes(Limits()))
            tasks.append(Task(searching, Limits()))
    run(classifier, tasks)
    for task in tasks:
        if isinstance(task.outcome, Exception):
            raise task.outcome
    for index, part in parts.items():
        measured[index] = Measured(labels[index], tuple(part.distances))
    return measured


def _subject(classifier: Classifier, image: bytes) -> Subject:
    """The picture, looked at alone: its logits do not depend on its neighbours."""
    preprocessing = classifier.model.preprocessing
    picture, view = pictures.preprocess(pictures.decode(image), preprocessing.resize, preprocessing.crop)
    return Subject(picture, view, classifier.serve(picture[None])[0], None)
