"""What a receipt tells, and that it replays the request."""

import hashlib
import json
from importlib.metadata import version

from google.protobuf import json_format

from messages import message
from whybox import v1
from whybox_server.gateway.receipts import receipt

DIGESTS = {f"{name}_sha256": name for name in ("weights", "onnx", "preprocessing", "labels", "inputs")}
MODEL = message(v1.Model, name="m", version="1", digests=DIGESTS)
IMAGE = b"\xff\xd8 picture"


def request(**parts):
    return message(v1.AnalyzeRequest, model="m", version="1", **parts)


EVERYTHING = request(
    prediction={"top_k": 5},
    explanations=[
        {
            "method": "integrated_gradients",
            "target_class": 0,
            "contrast_class": 9,
            "baseline_image": bytes(range(256)),
            "max_evaluations": 64,
            "tolerance": 0.0,
            "encodings": ["uint8", "overlay"],
            "channels": "sum",
            "quality": ["deletion", "stability"],
        },
        {"method": "grad_cam", "baseline": "mean", "tolerance": 0.05},
    ],
    robustness={"norms": ["linf", "l2"], "budget": "12"},
    bias={"attributes": ["Größe", "age"]},
    certified={"sigma": 0.1, "samples": 1000, "alpha": 0.001},
    seed=2**32 - 1,
    view=True,
)


def test_digests():
    made = receipt(EVERYTHING, IMAGE, MODEL)
    for name in ("weights_sha256", "onnx_sha256", "preprocessing_sha256", "labels_sha256"):
        assert getattr(made, name) == DIGESTS[name]
    assert made.image_sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert made.parameters_sha256 == hashlib.sha256(made.parameters.encode()).hexdigest()
    assert made.seed == EVERYTHING.seed
    assert made.whybox_version == version("whybox")
    assert not made.runtime


def test_the_audit_that_answers_rest_on():
    audited = v1.Model()
    audited.CopyFrom(MODEL)
    audited.audit.MergeFrom(message(v1.Audit, bank_sha256="bank", references={"sha256": {"features": "digest"}}))
    made = receipt(EVERYTHING, IMAGE, audited)
    assert (made.bank_sha256, dict(made.references_sha256)) == ("bank", {"features": "digest"})
    made.ClearField("bank_sha256")
    made.ClearField("references_sha256")
    assert made == receipt(EVERYTHING, IMAGE, MODEL)


def test_the_parameters_are_the_request_without_its_pictures():
    made = receipt(EVERYTHING, IMAGE, MODEL)
    parameters = json_format.Parse(made.parameters, v1.AnalyzeRequest())
    assert not parameters.image
    assert not any(options.baseline_image for options in parameters.explanations)
    parameters.explanations[0].baseline_image = bytes(range(256))
    assert made.baseline_sha256 == {0: hashlib.sha256(bytes(range(256))).hexdigest()}
    assert parameters == EVERYTHING


def test_empty_options_are_kept():
    asked = request(robustness={}, bias={})
    parameters = json_format.Parse(receipt(asked, IMAGE, MODEL).parameters, v1.AnalyzeRequest())
    assert parameters == asked


def test_the_parameters_are_canonical():
    text = receipt(EVERYTHING, IMAGE, MODEL).parameters
    assert text == json.dumps(json.loads(text), sort_keys=True)
    # The order in which fields were set does not show.
    other = v1.AnalyzeRequest()
    for field, _ in reversed(EVERYTHING.ListFields()):
        part = v1.AnalyzeRequest()
        part.CopyFrom(EVERYTHING)
        for name in {each.name for each, _ in EVERYTHING.ListFields()} - {field.name}:
            part.ClearField(name)
        other.MergeFrom(part)
    assert receipt(other, IMAGE, MODEL) == receipt(EVERYTHING, IMAGE, MODEL)


def test_another_picture_changes_only_its_digest():
    asked = request(prediction={})
    one, other = receipt(asked, IMAGE, MODEL), receipt(asked, b"other", MODEL)
    assert one.image_sha256 != other.image_sha256
    other.image_sha256 = one.image_sha256
    assert one == other
