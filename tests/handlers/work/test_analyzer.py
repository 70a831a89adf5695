"""Batches of work: every item gets its own result, whatever its neighbours are."""

import threading
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clocks import Clock, slowed
from linear import Watched
from whybox import v1
from whybox.v1.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidRequestError,
    PictureError,
    error_from_status,
)
from whybox_handlers.explanations import explaining as explaining_module
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Explainer
from whybox_handlers.handler import Handler
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.pictures import png as drawing
from whybox_handlers.robustness import smoothing
from whybox_handlers.robustness.draws import Draws
from whybox_handlers.work.analyzer import Analyzer
from whybox_handlers.work.slices import Slices


def request(image: bytes, **parts: Any) -> v1.AnalyzeRequest:
    return v1.AnalyzeRequest(image=image, **parts)


def everything(image: bytes) -> v1.AnalyzeRequest:
    options: dict[str, Any] = {"encodings": ["float32"], "channels": "sum"}
    return request(
        image,
        prediction=v1.PredictionOptions(top_k=3),
        explanations=[
            v1.ExplanationOptions(method="grad_cam", **options),
            v1.ExplanationOptions(
                method="integrated_gradients", baseline="black", max_evaluations=2, target_class=7, **options
            ),
        ],
        robustness=v1.RobustnessOptions(norms=["linf"], budget="3", attack="fmn"),
        bias=v1.BiasOptions(attributes=["lighting", "age"]),
    )


def decoded(tensor: v1.Tensor) -> NDArray[np.float32]:
    data = zlib.decompress(tensor.data) if tensor.compression else tensor.data
    return np.frombuffer(data, "<f4").reshape(tuple(tensor.shape))


@pytest.fixture(scope="module")
def analyzer(classifier: Classifier) -> Analyzer:
    return Analyzer(classifier)


def test_all_parts_of_a_real_picture(analyzer: Analyzer, dalmatian: bytes) -> None:
    (result,) = analyzer.answer([v1.Work(request=everything(dalmatian))])
    answer = result.response
    statuses = [answer.prediction.status, answer.robustness.status, answer.bias.status]
    statuses += [part.status for part in answer.explanations]
    assert [status.code for status in statuses] == [code_pb2.OK] * 5
    best = answer.prediction.classes[0]
    assert (best.index, best.label) == (251, "dalmatian")
    probabilities = [score.probability for score in answer.prediction.classes]
    assert probabilities == sorted(probabilities, reverse=True)
    grad_cam, gradients = answer.explanations
    assert (grad_cam.target_class, list(grad_cam.attribution.shape)) == (251, [7, 7])
    assert not grad_cam.HasField("convergence_delta")
    assert (gradients.target_class, gradients.target_label) == (7, "cock")
    values = decoded(gradients.attribution).astype(np.float64)
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
    (result,) = analyzer.answer([v1.Work(request=everything(dalmatian), deadline=Timestamp(seconds=1))])
    assert isinstance(error_from_status(result.status), DeadlineExceededError)
    assert result.final
    assert not result.HasField("response")


def test_a_part_that_fails_spoils_only_itself(
    analyzer: Analyzer, dalmatian: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> Attribution:
        raise RuntimeError("the inside of the bug")

    rows = {**EXPLAINERS, "grad_cam": Explainer(fail, "", "")}
    monkeypatch.setattr(explaining_module, "EXPLAINERS", rows)
    (result,) = analyzer.answer([v1.Work(request_id="id-7", request=everything(dalmatian))])
    grad_cam, gradients = result.response.explanations
    assert isinstance(error_from_status(grad_cam.status), InternalError)
    assert "inside" not in grad_cam.status.message
    assert "id-7" in grad_cam.status.message
    assert "the inside of the bug" in caplog.text
    assert gradients.status.code == result.response.robustness.status.code == code_pb2.OK


def explaining(image: bytes, *wanted: dict[str, Any], seed: int = 0) -> v1.Work:
    """Work on maps of one picture, with what the gateway would have filled in."""
    filled = []
    for options in wanted:
        method, plain = str(options["method"]), {"encodings": ["float32"], "channels": "none"}
        # A method without maps has no row.
        row = EXPLAINERS.get(method)
        filled.append(row.defaults(method, **(plain | options)) if row else v1.ExplanationOptions(**options))
    return v1.Work(request=v1.AnalyzeRequest(image=image, explanations=filled, seed=seed))


MIXED: Sequence[dict[str, object]] = [
    {"method": "saliency"},
    {"method": "grad_cam"},
    {"method": "integrated_gradients", "max_evaluations": 8},
    {"method": "smooth_grad", "max_evaluations": 4},
    {"method": "deep_lift"},
    {"method": "occlusion", "max_evaluations": 10},
    {"method": "rise", "max_evaluations": 20},
    {"method": "saliency", "target_class": 5, "contrast_class": 6},
]


def maps(results: Sequence[v1.WorkResult]) -> list[NDArray[np.float32]]:
    parts = [part for result in results for part in result.response.explanations]
    assert [part.status.code for part in parts] == [code_pb2.OK] * len(parts), [p.status.message for p in parts]
    return [decoded(part.attribution) for part in parts]


def test_the_same_map_alone_in_a_batch_and_from_eight_threads(analyzer: Analyzer, pictures: dict[Path, int]) -> None:
    images = [path.read_bytes() for path in list(pictures)[:8]]
    works = [explaining(image, options) for image, options in zip(images, MIXED, strict=True)]
    alone = maps([analyzer.answer([work])[0] for work in works])
    together = maps(analyzer.answer(works))
    threaded: dict[int, list[NDArray[np.float32]]] = {}
    threads = [
        threading.Thread(target=lambda i=i: threaded.update({i: maps(analyzer.answer([works[i]]))})) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, one in enumerate(alone):
        span = float(one.max() - one.min())
        assert span > 0
        for other in (together[index], threaded[index][0]):
            assert float(np.abs(one - other).max()) <= 1e-5 * span, MIXED[index]


def test_a_contrast_is_the_difference_of_two_maps(analyzer: Analyzer, dalmatian: bytes) -> None:
    one, other, contrast = maps(
        analyzer.answer(
            [
                explaining(
                    dalmatian,
                    {"method": "input_x_gradient", "target_class": 251},
                    {"method": "input_x_gradient", "target_class": 211},
                    {"method": "input_x_gradient", "target_class": 251, "contrast_class": 211},
                )
            ]
        )
    )
    np.testing.assert_allclose(contrast, one - other, atol=1e-5 * float(np.abs(one).max()))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "saliency", "contrast_class": 251}, InvalidRequestError, ["251", "dalmatian", "another"]),
        (
            {"method": "integrated_gradients", "baseline_image": "SMALL"},
            PictureError,
            ["20 x 20", "224 x 224"],
        ),
        ({"method": "integrated_gradients", "baseline_image": b"no picture"}, PictureError, ["JPEG"]),
        ({"method": "example", "examples": 3}, FailedPreconditionError, ["packed without", "--bank"]),
    ],
)
def test_what_cannot_be_explained_says_what_to_do(
    options: dict[str, object],
    error: type[Exception],
    words: list[str],
    analyzer: Analyzer,
    dalmatian: bytes,
) -> None:
    if options.get("baseline_image") == "SMALL":
        options = options | {"baseline_image": drawing.png(Image.new("RGB", (20, 20)))}
    (result,) = analyzer.answer([explaining(dalmatian, options, {"method": "grad_cam"})])
    failed, fine = result.response.explanations
    found = error_from_status(failed.status)
    assert type(found) is error
    for word in words:
        assert word in found.message
    assert not failed.HasField("attribution")
    assert fine.status.code == code_pb2.OK


def test_pictures_and_regions_travel_where_asked_for(analyzer: Analyzer, dalmatian: bytes) -> None:
    (result,) = analyzer.answer(
        [explaining(dalmatian, {"method": "grad_cam", "encodings": ["heat_map", "overlay", "regions"]})]
    )
    (part,) = result.response.explanations
    assert part.status.code == code_pb2.OK, part.status.message
    assert not part.HasField("attribution")
    for file in (part.heat_map, part.overlay, part.regions.sufficient.mask):
        with Image.open(BytesIO(file)) as picture:
            assert (picture.format, picture.size) == ("PNG", (224, 224))


def test_the_default_answer_is_small(analyzer: Analyzer, pictures: dict[Path, int]) -> None:
    wanted: list[dict[str, Any]] = [
        {"method": name, "encodings": ["uint8"], "channels": "sum"}
        | ({"max_evaluations": max(row.min_evaluations, 8)} if row.default_evaluations else {})
        for name, row in EXPLAINERS.items()
        if not row.off_by_default
    ]
    (result,) = analyzer.answer([explaining(next(iter(pictures)).read_bytes(), *wanted)])
    for part in result.response.explanations:
        assert part.status.code == code_pb2.OK, part.status.message
        # As the gateway sends it: JSON is the larger of the two, for its base64.
        text = json_format.MessageToJson(part, preserving_proto_field_name=True, indent=None)
        assert len(text) < 60_000, part.method


def test_work_stops_within_a_step_when_the_caller_is_gone(
    classifier: Classifier, dalmatian: bytes, tmp_path: Path
) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(dalmatian)
    work = explaining(b"", {"method": "rise", "max_evaluations": 10_000, "tolerance": 0.0})
    work.picture_path = str(picture)
    watched = Watched(classifier.serving)

    def leave(_: Tensor, logits: Tensor) -> Tensor:
        if watched.calls == 3:
            picture.unlink()
        return logits

    watched.meanwhile = leave
    analyzer = Analyzer(Classifier(classifier.model, classifier.network, watched, classifier.device))
    (result,) = analyzer.answer([work])
    assert isinstance(error_from_status(result.response.explanations[0].status), CancelledError)
    assert watched.calls == 3
    (late,) = analyzer.answer([work])
    assert isinstance(error_from_status(late.status), CancelledError)
    assert watched.calls == 3


def test_the_units_of_one_request_share_one_look(classifier: Classifier, dalmatian: bytes, tmp_path: Path) -> None:
    asked = [v1.AnalyzeRequest(prediction=v1.PredictionOptions(top_k=2)), v1.AnalyzeRequest(view=True),
             explaining(b"", {"method": "grad_cam"}).request]  # fmt: skip
    small = BytesIO()
    Image.new("RGB", (classifier.model.preprocessing.crop,) * 2, "red").save(small, "PNG")

    def works(number: int, image: bytes) -> list[v1.Work]:
        path = tmp_path / str(number)
        path.write_bytes(image)
        return [v1.Work(request=each, picture_path=str(path)) for each in asked]

    watched = Watched(classifier.serving)
    analyzer = Analyzer(Classifier(classifier.model, classifier.network, watched, classifier.device))
    one, other = works(0, small.getvalue()), works(1, dalmatian)
    # As it is and as a view, together; then again, each alone.
    together = analyzer.answer(one)
    assert watched.calls == 2
    alone = [result for work in one for result in analyzer.answer([work])]
    assert watched.calls == 2
    assert [result.response.SerializeToString() for result in alone] == [
        result.response.SerializeToString() for result in together
    ]
    # Another picture, which has not the size of a view.
    results = analyzer.answer(other)
    assert watched.calls == 3
    assert isinstance(error_from_status(results[1].status), PictureError)
    assert results[0].response.prediction != together[0].response.prediction
    # It is forgotten when enough others have come.
    for number in range(2, 6):
        analyzer.answer(works(number, dalmatian)[:1])
    analyzer.answer(one[:1])
    assert watched.calls == 3 + 4 + 1


@pytest.mark.parametrize("method", ["rise", "smooth_grad", "integrated_gradients"])
def test_an_answer_comes_before_the_deadline_with_what_there_is(
    method: str, classifier: Classifier, dalmatian: bytes
) -> None:
    clock = Clock()
    work = explaining(dalmatian, {"method": method, "max_evaluations": 10_000, "tolerance": 0.0})
    # As the gateway sends them: a last pass that is slower than those before still ends in time.
    work.aim.FromNanoseconds(int((clock() + 1.8) * 1e9))
    work.deadline.FromNanoseconds(int((clock() + 2) * 1e9))
    (result,) = Analyzer(slowed(classifier, clock, served=0.04, differentiated=0.15), clock).answer([work])
    assert clock() < work.deadline.ToNanoseconds() / 1e9
    (part,) = result.response.explanations
    assert part.status.code == code_pb2.OK, part.status.message
    assert part.stopped_by == "deadline"
    assert part.residual > 0
    assert max(part.gradient_evaluations, part.forward_evaluations) > 4


def test_an_output_that_is_not_finite_is_no_answer(classifier: Classifier, pictures: dict[Path, int]) -> None:
    broken, fine = [path.read_bytes() for path in list(pictures)[:2]]
    view, _ = classifier.see(broken)

    def break_down(views: Tensor, logits: Tensor) -> Tensor:
        logits[[bool(torch.equal(each, view)) for each in views], 7] = float("nan")
        return logits

    serving = Watched(classifier.serving)
    serving.meanwhile = break_down
    breaking = Classifier(classifier.model, classifier.network, serving, classifier.device)
    wanted = {"prediction": v1.PredictionOptions(top_k=1), "robustness": everything(b"").robustness}
    first, second = Analyzer(breaking).answer([v1.Work(request=request(image, **wanted)) for image in (broken, fine)])
    error = error_from_status(first.status)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "NOT_FINITE"
    assert not first.response.HasField("prediction")
    assert not first.response.HasField("robustness")
    assert second.status.code == code_pb2.OK
    assert second.response.robustness.distances[0].state == "found"


def test_a_twin_is_explained_with_the_options_that_the_work_carries(analyzer: Analyzer, dalmatian: bytes) -> None:
    options = v1.RobustnessOptions(norms=["linf"], budget="3", attack="fmn", twin="saliency")
    twin = EXPLAINERS["saliency"].defaults("saliency", encodings=["float16"])
    (result,) = analyzer.answer([v1.Work(request=request(dalmatian, robustness=options), twin=twin)])
    (distance,) = result.response.robustness.distances
    assert distance.twin.status.code == code_pb2.OK, distance.twin.status.message
    assert distance.twin.before.attribution.dtype == "float16"
    assert distance.twin.before.target_class == distance.predicted_class.index == 251
    assert distance.twin.after.target_class == distance.adversarial_class.index


def certifying(image: bytes, resume: bytes = b"", seed: int = 0) -> v1.Work:
    options = v1.CertifiedOptions(sigma=0.05, samples=40, alpha=0.01)
    return v1.Work(request=v1.AnalyzeRequest(image=image, certified=options, seed=seed), resume=resume)


CHOSEN = Draws(100, Counter({251: 100})).to_bytes()


def test_a_certificate_alone_and_beside_other_work(
    analyzer: Analyzer, pictures: dict[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = [path.read_bytes() for path in list(pictures)[:2]]
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 600.0)
    alone = [analyzer.answer([certifying(image, seed=3)])[0] for image in (one, other)]
    rise = explaining(one, {"method": "rise", "max_evaluations": 50})
    together = analyzer.answer([certifying(one, seed=3), rise, certifying(other, seed=3)])
    assert [result.response for result in (together[0], together[2])] == [result.response for result in alone]
    for result in alone:
        assert result.response.certified.status.code == code_pb2.OK
        assert result.response.certified.samples == 40
        assert result.final
        assert not result.resume
        assert not result.HasField("so_far")
        assert result.compute_ms > 0


def test_a_certificate_takes_several_pieces_of_work(
    analyzer: Analyzer, dalmatian: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 600.0)
    (whole,) = analyzer.answer([certifying(dalmatian, CHOSEN)])
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 0.0)
    work = certifying(dalmatian, CHOSEN)
    before = work.SerializeToString(deterministic=True)
    (first,) = analyzer.answer([work])
    assert not first.final
    assert Draws.from_bytes(first.resume).drawn == 116
    assert (first.response.certified.state, first.response.certified.samples) == ("running", 16)
    assert not first.response.certified.HasField("radius")
    # Should there be no time for another piece.
    assert (first.so_far.certified.state, first.so_far.certified.stopped_by) == ("certified", "deadline")
    assert first.so_far.certified.radius > 0
    assert first.so_far.receipt == first.response.receipt == whole.response.receipt
    assert work.SerializeToString(deterministic=True) == before, "the work itself is not touched"
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 600.0)
    (rest,) = analyzer.answer([certifying(dalmatian, first.resume)])
    assert rest.final
    assert rest.response.certified.samples == 40
    assert rest.response == whole.response


def test_until_the_class_is_chosen_there_is_nothing_so_far(
    analyzer: Analyzer, dalmatian: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 0.0)
    (first,) = analyzer.answer([certifying(dalmatian)])
    assert not first.final
    assert first.response.certified.state == "running"
    assert not first.HasField("so_far")


def test_a_certificate_that_fails_leaves_nothing_half_done(
    classifier: Classifier, dalmatian: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(dalmatian)
    work = certifying(b"")
    work.request.certified.samples = 100_000
    work.picture_path = str(picture)
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 600.0)
    serving = Watched(classifier.serving)

    def leave(_: Tensor, logits: Tensor) -> Tensor:
        if serving.calls == 10:
            picture.unlink()
        return logits

    serving.meanwhile = leave
    analyzer = Analyzer(Classifier(classifier.model, classifier.network, serving, classifier.device))
    (result,) = analyzer.answer([work])
    assert serving.calls == 10
    failed = result.response.certified
    assert isinstance(error_from_status(failed.status), CancelledError)
    assert failed == v1.Certified(status=failed.status)
    assert result.final
    assert not result.resume


def test_the_handler_speaks_bytes(analyzer: Analyzer, dalmatian: bytes) -> None:
    handler = Handler()
    handler._slices = Slices(analyzer, time.time)
    works = [v1.Work(request=request(dalmatian, prediction=v1.PredictionOptions(top_k=2))), v1.Work()]
    answers = handler.handle([{"request": bytearray(work.SerializeToString())} for work in works], None)
    first, probe = (v1.WorkResult.FromString(answer) for answer in answers)
    assert len(first.response.prediction.classes) == 2
    assert probe.status.code == code_pb2.OK
    assert first.final
    assert probe.final
