"""Getting the same evidence again: from a receipt, the picture and the archive."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf import json_format

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, Found


class ReplayError(ValueError):
    """The receipt does not fit the picture or the model; names what differs."""


def load_archive(archive: Path, device: str = "cpu") -> Classifier:
    """The classifier in a .mar file, as a worker would load it."""
    with TemporaryDirectory() as folder, zipfile.ZipFile(archive) as content:
        content.extractall(folder)
        return Classifier.load(Path(folder), device)


def request(
    receipt: v1.Receipt, image: bytes, classifier: Classifier, baselines: Mapping[int, bytes] | None = None
) -> v1.AnalyzeRequest:
    """The request that a receipt was given for, with every default filled in.

    Args:
        receipt: From an answer.
        image: The encoded picture that was sent.
        classifier: The model that answered.
        baselines: The encoded baselines that were sent, by their position among the explanations.

    Raises:
        ReplayError: Pictures, weights, ONNX network, preprocessing or parameters are not those of the receipt.
    """
    digests = classifier.model.digests
    baselines = baselines or {}
    for what, expected, actual in (
        ("picture", receipt.image_sha256, hashlib.sha256(image).hexdigest()),
        ("parameters", receipt.parameters_sha256, hashlib.sha256(receipt.parameters.encode()).hexdigest()),
        ("weights", receipt.weights_sha256, digests.weights_sha256),
        ("ONNX network", receipt.onnx_sha256, digests.onnx_sha256),
        ("preprocessing", receipt.preprocessing_sha256, digests.preprocessing_sha256),
        ("labels", receipt.labels_sha256, digests.labels_sha256),
        *(
            (f"baseline of explanations[{index}]", digest, hashlib.sha256(baselines.get(index, b"")).hexdigest())
            for index, digest in receipt.baseline_sha256.items()
        ),
    ):
        if expected != actual:
            raise ReplayError(f"the {what} differ from the receipt's: SHA-256 {actual}, not {expected}")
    replayed = json_format.Parse(receipt.parameters, v1.AnalyzeRequest())
    replayed.image = image
    for index in receipt.baseline_sha256:
        replayed.explanations[index].baseline_image = baselines[index]
    return replayed


def attack(replayed: v1.AnalyzeRequest, norm: str, classifier: Classifier, evaluations: int | None = None) -> Found:
    """Repeats the search of one distance of an answer, and returns the adversarial picture too.

    Args:
        replayed: From `request`; its robustness part was asked for.
        norm: One of its norms.
        classifier: The model that answered.
        evaluations: `Distance.gradient_evaluations`, if the budget was the deadline; None for any other budget.

    Raises:
        ReplayError: The budget was the deadline, and `evaluations` is missing.
    """
    options = replayed.robustness
    if evaluations is None:
        if not options.budget.isdigit():
            raise ReplayError("the budget was the deadline; give the distance's gradient_evaluations as `evaluations`")
        evaluations = int(options.budget)
    subject = Subject.of(classifier, replayed.image)
    chosen = ATTACKS[options.attack]
    return run_one(classifier, chosen.run(Passes(Limits()), subject, norm, evaluations, seed=replayed.seed))
