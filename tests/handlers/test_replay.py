"""Receipts that fit are replayed to an equal request; others are refused by name."""

import hashlib
import json

import pytest
from google.protobuf import json_format

from whybox import v1
from whybox_handlers import replay
from whybox_handlers.models.classifier import Classifier

PARAMETERS = json.dumps(
    {"model": "efficientnet-lite0", "robustness": {"norms": ["linf"], "budget": "4", "attack": "fmn"}}
)


@pytest.fixture
def receipt(classifier: Classifier, dalmatian: bytes) -> v1.Receipt:
    digests = classifier.model.digests
    return v1.Receipt(
        weights_sha256=digests.weights_sha256,
        onnx_sha256=digests.onnx_sha256,
        gradient_sha256=digests.gradient_sha256,
        preprocessing_sha256=digests.preprocessing_sha256,
        labels_sha256=digests.labels_sha256,
        image_sha256=hashlib.sha256(dalmatian).hexdigest(),
        parameters=PARAMETERS,
        parameters_sha256=hashlib.sha256(PARAMETERS.encode()).hexdigest(),
    )


def test_the_request_comes_back(receipt: v1.Receipt, classifier: Classifier, dalmatian: bytes) -> None:
    replayed = replay.request(receipt, dalmatian, classifier)
    expected = json_format.Parse(PARAMETERS, v1.AnalyzeRequest(image=dalmatian))
    assert replayed == expected
    found = replay.attack(replayed, "linf", classifier)
    assert found.adversarial is not None
    assert found.gradient_evaluations == 4


@pytest.mark.parametrize(
    ("norm", "evaluations", "error", "words"),
    [
        ("l2", None, replay.ReplayError, "no distance in 'l2'; its norms are linf"),
        ("linf", 0, ValueError, "evaluations must be an integer from 1 to 1000, not 0"),
        ("linf", -1, ValueError, "evaluations must be an integer"),
        ("linf", True, TypeError, "evaluations must be an integer"),
    ],
)
def test_wrong_arguments_of_an_attack(
    norm: str,
    evaluations: int | None,
    error: type[Exception],
    words: str,
    receipt: v1.Receipt,
    classifier: Classifier,
    dalmatian: bytes,
) -> None:
    replayed = replay.request(receipt, dalmatian, classifier)
    with pytest.raises(error, match=words):
        replay.attack(replayed, norm, classifier, evaluations)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("image_sha256", "picture"),
        ("weights_sha256", "weights"),
        ("onnx_sha256", "ONNX network"),
        ("gradient_sha256", "compiled gradient"),
        ("preprocessing_sha256", "preprocessing"),
        ("labels_sha256", "labels"),
        ("parameters", "parameters"),
    ],
)
def test_what_differs_is_named(
    field: str, words: str, receipt: v1.Receipt, classifier: Classifier, dalmatian: bytes
) -> None:
    setattr(receipt, field, "0" * 64)
    with pytest.raises(replay.ReplayError, match=f"the {words} differ"):
        replay.request(receipt, dalmatian, classifier)


def test_a_baseline_comes_back_too(receipt: v1.Receipt, classifier: Classifier, dalmatian: bytes) -> None:
    parameters = json.dumps({"explanations": [{"method": "grad_cam"}, {"method": "occlusion"}]})
    receipt.parameters, receipt.parameters_sha256 = parameters, hashlib.sha256(parameters.encode()).hexdigest()
    receipt.baseline_sha256[1] = hashlib.sha256(b"baseline").hexdigest()
    replayed = replay.request(receipt, dalmatian, classifier, {1: b"baseline"})
    assert [options.baseline_image for options in replayed.explanations] == [b"", b"baseline"]
    with pytest.raises(replay.ReplayError, match=r"the baseline of explanations\[1\] differ"):
        replay.request(receipt, dalmatian, classifier)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bias": {}}, "findings of the audit"),
        ({"prediction": {"set_method": "aps"}}, "findings of the audit"),
        ({"explanations": [{"method": "grad_cam"}, {"method": "example"}]}, "audited pictures"),
        ({"prediction": {}, "explanations": [{"method": "grad_cam"}], "robustness": {"norms": ["linf"]}}, None),
    ],
)
def test_another_audit_is_refused_where_it_answers(
    parameters: dict[str, object], words: str | None, receipt: v1.Receipt, classifier: Classifier, dalmatian: bytes
) -> None:
    receipt.parameters = json.dumps(parameters)
    receipt.parameters_sha256 = hashlib.sha256(receipt.parameters.encode()).hexdigest()
    replayed = replay.request(receipt, dalmatian, classifier)
    receipt.bank_sha256 = "0" * 64
    receipt.references_sha256["index"] = "1" * 64
    if words is None:
        assert replay.request(receipt, dalmatian, classifier) == replayed
    else:
        with pytest.raises(replay.ReplayError, match=f"the {words} differ"):
            replay.request(receipt, dalmatian, classifier)
