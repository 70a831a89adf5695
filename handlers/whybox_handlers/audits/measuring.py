"""What an audit of a data set measures of each picture: its answer, its features, its looks and its distances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from whybox import v1
from whybox_handlers.audits.covariates import covariates, perceptual_hash
from whybox_handlers.audits.removal import Removal
from whybox_handlers.explanations.embeddings import embedding
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.robustness.measurement import Measured as Attacked
from whybox_handlers.robustness.measurement import measure_robustness


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found out about one picture.

    Attributes:
        predicted: Index of the class with the largest logit.
        logits: [classes], of the serving network; float32.
        confidence: Softmax probability of the predicted class, 0 to 1.
        embedding: [D], float32: see `embeddings`; None for a network without features.
        covariates: What the picture looks like, by name; see `covariates`.
        perceptual_hash: 64 bits; few of them differ between near-duplicates.
        margin: Logit of the right class minus the largest other one; below 0 if the prediction is wrong.
        distances: One for each norm of the options, as the service answers them; empty if the prediction is wrong,
            because such a picture is at distance 0 from an error, and without an attack.
    """

    predicted: int
    logits: Tensor
    confidence: float
    embedding: Tensor | None
    covariates: Mapping[str, float]
    perceptual_hash: int
    margin: float
    distances: tuple[v1.Distance, ...] = ()


def measure(
    classifier: Classifier,
    images: Sequence[bytes],
    labels: Sequence[int],
    options: v1.RobustnessOptions | None,
    seed: int,
    *,
    view: bool = False,
    removals: Sequence[Removal | None] | None = None,
) -> list[Measured | Exception]:
    """Predicts pictures, and attacks those whose prediction is right; the attacks share their passes.

    Args:
        classifier: The model.
        images: Encoded pictures.
        labels: Index of the right class of each.
        options: With every default filled in; the budget is a number. None attacks nothing.
        seed: For attacks that draw at random; the same for each picture.
        view: Whether the pictures are the model's views themselves; see `Classifier.see`.
        removals: What each picture loses before the model sees it; None for nothing.

    Returns:
        For each picture what was found out, or the error: a PictureError if it cannot be decoded, any other exception
        if the network or the attack failed. A picture that fails does not affect the others.
    """
    measured: list[Measured | Exception] = []
    attacked: dict[int, tuple[Measured, Task[Attacked]]] = {}
    removed = [None] * len(images) if removals is None else removals
    for index, (image, label, removal) in enumerate(zip(images, labels, removed, strict=True)):
        try:
            subject = Subject.of(classifier, image, view=view, change=removal)
            looked_at = _unattacked(classifier, subject, label)
        except Exception as error:  # noqa: BLE001 (the caller decides what it means)
            measured.append(error)
            continue
        measured.append(looked_at)
        if options is not None and subject.predicted == label:
            searching = measure_robustness(Case(classifier, subject, seed), options, Passes(Limits()))
            attacked[index] = looked_at, Task(searching, Limits())
    run(classifier, [task for _, task in attacked.values()])
    for index, (looked_at, task) in attacked.items():
        if isinstance(task.outcome, Exception):
            measured[index] = task.outcome
        else:
            measured[index] = replace(looked_at, distances=tuple(task.result().part.distances))
    return measured


def _unattacked(classifier: Classifier, subject: Subject, label: int) -> Measured:
    predicted = subject.predicted
    return Measured(
        predicted,
        subject.logits,
        float(subject.probabilities[predicted]),
        embedding(classifier, subject),
        covariates(subject),
        perceptual_hash(subject.picture),
        subject.margin(label),
    )
