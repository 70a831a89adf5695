"""Batches of work: every item gets its own result, whatever its neighbours are."""

import time

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, InternalError, PictureError, error_from_status
from whybox_handlers import analyzer as analyzer_module
from whybox_handlers.analyzer import Analyzer
from whybox_handlers.attacks import ATTACKS
from whybox_handlers.classifier import Classifier
from whybox_handlers.explainers import EXPLAINERS, Explainer
from whybox_handlers.handler import Handler


def request(image: bytes, **parts: object) -> v1.AnalyzeRequest:
    return v1.AnalyzeRequest(image=image, **parts)


def everything(image: bytes) -> v1.AnalyzeRequest:
    options = {"dtype": "float32", "channels": "sum"}
    return request(
        image,
        prediction=v1.PredictionOptions(top_k=3),
        explanations=[
            v1.ExplanationOptions(method="grad_cam", **options),
            v1.ExplanationOptions(method="integrated_gradients", steps=2, target_class=7, **options),
        ],
        robustness=v1.RobustnessOptions(norms=list(ATTACKS), budget="3"),
        bias=v1.BiasOptions(attributes=["lighting", "age"]),
    )


@pytest.fixture(scope="module")
def analyzer(classifier: Classifier) -> Analyzer:
    return Analyzer(classifier)


def test_all_parts_of_a_real_picture(analyzer: Analyzer, dalmatian: bytes) -> None:
    (result,) = analyzer.answer([v1.Work(request=everything(dalmatian))])
    answer = result.response
    parts = [answer.prediction, *answer.explanations, answer.robustness, answer.bias]
    assert [part.status.code for part in parts] == [code_pb2.OK] * 5
    best = answer.prediction.classes[0]
    assert (best.index, best.label) == (251, "dalmatian")
    probabilities = [score.probability for score in answer.prediction.classes]
    assert probabilities == sorted(probabilities, reverse=True)
    grad_cam, gradients = answer.explanations
    assert (grad_cam.target_class, list(grad_cam.attribution.shape)) == (251, [7, 7])
    assert not grad_cam.HasField("convergence_delta")
    assert (gradients.target_class, gradients.target_label) == (7, "cock")
    values = np.frombuffer(gradients.attribution.data, "<f4").astype(np.float64)
    assert list(gradients.attribution.shape) == [224, 224]
    promised = gradients.target_logit - gradients.baseline_logit
    assert gradients.convergence_delta == pytest.approx(values.sum() - promised, abs=1e-3)
    (distance,) = answer.robustness.distances
    assert distance.state == "found"
    assert distance.predicted_class == best
    assert distance.adversarial_class.index != 251
    assert 0 < distance.unflipped_distance < distance.distance <= distance.searched_radius
    assert not distance.HasField("percentile")
    assert [(flag.attribute, flag.state) for flag in answer.bias.flags] == [
        ("lighting", "not_audited"),
        ("age", "not_audited"),
    ]
    assert not any(flag.HasField("effect") or flag.audit_id for flag in answer.bias.flags)
    assert "torch" in answer.receipt.runtime
    assert result.compute_ms > 0


def test_a_broken_picture_spoils_only_itself(analyzer: Analyzer, dalmatian: bytes) -> None:
    wanted = {"prediction": v1.PredictionOptions(top_k=1)}
    batch = [
        v1.Work(request=request(dalmatian, **wanted)),
        v1.Work(request=request(dalmatian[:5000], **wanted)),
        v1.Work(),
        v1.Work(request=request(b"no picture", **wanted)),
        v1.Work(request=request(dalmatian, **wanted)),
    ]
    results = analyzer.answer(batch)
    codes = [result.status.code for result in results]
    assert codes == [code_pb2.OK, code_pb2.INVALID_ARGUMENT, code_pb2.OK, code_pb2.INVALID_ARGUMENT, code_pb2.OK]
    assert [len(result.response.prediction.classes) for result in results] == [1, 0, 0, 0, 1]
    error = error_from_status(results[1].status)
    assert isinstance(error, PictureError)
    assert error.field == "image"
    # Alone or in a batch: the same numbers.
    (alone,) = analyzer.answer(batch[:1])
    for result in (results[0], results[4]):
        together = result.response.prediction.classes[0]
        assert together.index == alone.response.prediction.classes[0].index
        assert together.probability == pytest.approx(alone.response.prediction.classes[0].probability, abs=1e-5)


def test_work_whose_deadline_is_past_is_not_started(analyzer: Analyzer, dalmatian: bytes) -> None:
    deadline = Timestamp()
    deadline.FromNanoseconds(time.time_ns() - 1)
    (result,) = analyzer.answer([v1.Work(request=everything(dalmatian), deadline=deadline)])
    assert isinstance(error_from_status(result.status), DeadlineExceededError)
    assert not result.HasField("response")


def test_a_part_that_fails_spoils_only_itself(
    analyzer: Analyzer, dalmatian: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the inside of the bug")

    monkeypatch.setattr(analyzer_module, "EXPLAINERS", EXPLAINERS | {"grad_cam": Explainer(fail, "", "")})  # type: ignore[arg-type]
    (result,) = analyzer.answer([v1.Work(request_id="id-7", request=everything(dalmatian))])
    grad_cam, gradients = result.response.explanations
    assert isinstance(error_from_status(grad_cam.status), InternalError)
    assert "inside" not in grad_cam.status.message
    assert "id-7" in grad_cam.status.message
    assert "the inside of the bug" in caplog.text
    assert gradients.status.code == result.response.robustness.status.code == code_pb2.OK


def test_the_handler_speaks_bytes(analyzer: Analyzer, dalmatian: bytes) -> None:
    handler = Handler()
    handler._analyzer = analyzer
    works = [v1.Work(request=request(dalmatian, prediction=v1.PredictionOptions(top_k=2))), v1.Work()]
    answers = handler.handle([{"request": bytearray(work.SerializeToString())} for work in works], None)
    first, probe = (v1.WorkResult.FromString(answer) for answer in answers)
    assert len(first.response.prediction.classes) == 2
    assert probe.status.code == code_pb2.OK
