"""The same evidence again, from a receipt, the picture and the archive."""

from collections.abc import Mapping

from google.protobuf import json_format

from whybox import v1
from whybox.arguments import integer
from whybox.v1.vocabulary import MAX_BUDGET
from whybox_handlers.explanations.examples import EXAMPLE
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.digests import sha256
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, Found


class ReplayError(ValueError):
    """The receipt belongs to another picture, baseline or model; the message says what differs."""


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
        ReplayError: The picture, a baseline, the weights, the ONNX network, the compiled gradient, the preprocessing,
            the labels or the parameters are not those of the receipt; or the request asks for bias flags, a prediction
            set or examples, and the packed audit is another. The percentile of a distance is that of the audit packed
            now.
    """
    digests = classifier.model.digests
    baselines = baselines or {}
    for what, expected, actual in (
        ("picture", receipt.image_sha256, sha256(image)),
        ("parameters", receipt.parameters_sha256, sha256(receipt.parameters.encode())),
        ("weights", receipt.weights_sha256, digests.weights_sha256),
        ("ONNX network", receipt.onnx_sha256, digests.onnx_sha256),
        ("compiled gradient", receipt.gradient_sha256, digests.gradient_sha256),
        ("preprocessing", receipt.preprocessing_sha256, digests.preprocessing_sha256),
        ("labels", receipt.labels_sha256, digests.labels_sha256),
        *(
            (f"baseline of explanations[{index}]", digest, sha256(baselines.get(index, b"")))
            for index, digest in receipt.baseline_sha256.items()
        ),
    ):
        if expected != actual:
            raise ReplayError(f"the {what} differ from the receipt's: SHA-256 {actual}, not {expected}")
    replayed = json_format.Parse(receipt.parameters, v1.AnalyzeRequest())
    _check_audit(receipt, replayed, classifier.model.audit)
    replayed.image = image
    for index in receipt.baseline_sha256:
        replayed.explanations[index].baseline_image = baselines[index]
    return replayed


def _check_audit(receipt: v1.Receipt, replayed: v1.AnalyzeRequest, audit: v1.Audit) -> None:
    """Raises ReplayError if the request asks for what an audit answers, and the packed one is not the receipt's."""
    examples = any(options.method == EXAMPLE for options in replayed.explanations)
    findings = replayed.HasField("bias") or bool(replayed.prediction.set_method)
    for what, asked, expected, actual in (
        ("findings of the audit", findings, receipt.bank_sha256, audit.bank_sha256),
        ("audited pictures", examples, dict(receipt.references_sha256), dict(audit.references.sha256)),
    ):
        if asked and expected != actual:
            raise ReplayError(
                f"the {what} differ from the receipt's: SHA-256 {actual or 'none'}, not {expected or 'none'}"
            )


def attack(replayed: v1.AnalyzeRequest, norm: str, classifier: Classifier, evaluations: int | None = None) -> Found:
    """Repeats the search of one distance of an answer, and returns the adversarial picture too.

    Args:
        replayed: From `request`; it must have a robustness part.
        norm: One of the norms of that part.
        classifier: The model that answered.
        evaluations: `Distance.gradient_evaluations` if the budget was the deadline; None for the budget itself.

    Raises:
        TypeError, ValueError: `evaluations` is no whole number from 1 to 1000.
        ReplayError: The budget was the deadline, and `evaluations` is None; or the answer has no distance in `norm`.
    """
    options = replayed.robustness
    if norm not in options.norms:
        raise ReplayError(f"the answer has no distance in {norm!r}; its norms are {', '.join(options.norms) or 'none'}")
    if evaluations is None:
        if not options.budget.isdigit():
            raise ReplayError("the budget was the deadline; give evaluations, the distance's gradient_evaluations")
        evaluations = int(options.budget)
    spent = integer("evaluations", evaluations, 1, MAX_BUDGET)
    subject = Subject.of(classifier, replayed.image, view=replayed.view)
    chosen = ATTACKS[options.attack]
    return run_one(classifier, chosen.run(Passes(Limits()), subject, norm, spent, seed=replayed.seed))
