import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from presence import present
from whybox import Analysis, Distance, Explanation, InternalError, OverloadedError, WhyboxError, v1
from whybox._messages.models import read_model
from whybox._messages.reading import read_analysis


def test_every_field_of_the_contract_arrives(analysis: Analysis, answer: v1.AnalyzeResponse) -> None:
    assert_same(answer, analysis)


def assert_same(message: Message, value: Any) -> None:
    """Walks message and value side by side; `status` becomes `error`, an absent field None."""
    for field in message.DESCRIPTOR.fields:
        if field.name in ("status", "attribution", "mask"):
            continue
        if field.type == field.TYPE_BYTES:
            name = field.name.removesuffix("_picture")
            kind = "jpeg" if name == "thumbnail" else "png"
            assert getattr(value, f"{name}_{kind}") == (getattr(message, field.name) or None)
            continue
        expected, actual = getattr(message, field.name), getattr(value, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            assert dict(actual) == dict(expected)
        elif field.is_repeated:
            assert len(actual) == len(expected)
            for one, other in zip(expected, actual, strict=True):
                assert_same(one, other) if field.message_type else assert_equal(one, other)
        elif field.has_presence and not message.HasField(field.name):
            assert actual is None, field.name
        elif field.message_type:
            assert_same(expected, actual)
        else:
            assert_equal(expected, actual)


def assert_equal(expected: object, actual: object) -> None:
    assert actual == expected
    assert type(actual) is type(expected)


def test_maps_are_decoded(analysis: Analysis) -> None:
    cam, gradients, failed, _ = analysis.explanations
    np.testing.assert_array_equal(cam.attribution, np.arange(49).reshape(7, 7))
    np.testing.assert_array_equal(gradients.attribution, np.arange(12).reshape(3, 2, 2) / 2 - 2)
    assert failed.attribution.shape == (0, 0)


@pytest.mark.parametrize("kind", ["heat_map", "overlay", "regions"])
def test_pictures_may_come_without_numbers(answer: v1.AnalyzeResponse, picture: bytes, kind: str) -> None:
    whole = answer.explanations[1]
    lone = v1.Explanation(method="rise", **{kind: getattr(whole, kind)})
    [explanation] = read_analysis(v1.AnalyzeResponse(explanations=[lone]), picture).explanations
    assert explanation.attribution.shape == (0, 0)
    given = (explanation.heat_map_png, explanation.overlay_png, explanation.regions)
    assert [value is not None for value in given] == [name == kind for name in ("heat_map", "overlay", "regions")]


def test_a_map_without_anything_is_an_error(picture: bytes) -> None:
    with pytest.raises(InternalError, match="cannot be decoded"):
        read_analysis(v1.AnalyzeResponse(explanations=[v1.Explanation(method="rise")]), picture)


def test_a_twin_lies_over_the_picture_that_it_explains(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    message = answer.robustness.distances[0]
    message.twin.after.view.CopyFrom(message.twin.before.view)
    [distance, _] = present(read_analysis(answer, picture).robustness).distances
    before, after = sides(distance)
    assert (before.picture, present(before.view).left) == (picture, 10.5)
    assert (after.picture, after.view) == (distance.adversarial_png, None)
    assert before.overlay().size == (43, 43)
    assert after.overlay().size == (12, 12)
    message.ClearField("adversarial_picture")
    [distance, _] = present(read_analysis(answer, picture).robustness).distances
    before, after = sides(distance)
    assert (after.picture, after.view) == (picture, before.view)


def sides(distance: Distance) -> tuple[Explanation, Explanation]:
    twin = present(distance.twin)
    return present(twin.before), present(twin.after)


def test_a_model_that_could_not_be_asked_says_why(analysis: Analysis) -> None:
    fooled, unknown = present(analysis.robustness).distances[0].transfers
    assert fooled.error is None
    assert isinstance(unknown.error, InternalError)


def test_a_failed_part_tells_why_and_spoils_nothing(analysis: Analysis) -> None:
    assert present(analysis.prediction).error is None
    assert analysis.explanations[0].error is None
    failed = analysis.explanations[2]
    assert isinstance(failed.error, InternalError)
    assert analysis.errors == {"explanations[2]": failed.error}


@pytest.mark.parametrize("part", ["prediction", "robustness", "bias", "certified"])
def test_any_part_can_fail(answer: v1.AnalyzeResponse, picture: bytes, overloaded: WhyboxError, part: str) -> None:
    getattr(answer, part).Clear()
    getattr(answer, part).status.CopyFrom(overloaded.to_status())
    error = read_analysis(answer, picture).errors[part]
    assert isinstance(error, OverloadedError)
    assert error.retry_after == 1.5


@pytest.mark.parametrize("state", ["running", "certified", "abstained"])
def test_a_certificate_may_lack_its_radius(answer: v1.AnalyzeResponse, picture: bytes, state: str) -> None:
    answer.certified.state = state
    answer.certified.stopped_by = "deadline"
    answer.certified.ClearField("radius")
    analysis = read_analysis(answer, picture)
    assert_same(answer, analysis)
    assert present(analysis.certified).running == (state == "running")


def test_parts_that_were_not_asked_for_are_none(picture: bytes) -> None:
    empty = read_analysis(v1.AnalyzeResponse(model="lite0"), picture)
    assert (empty.prediction, empty.robustness, empty.bias, empty.certified, empty.timings) == (None,) * 5
    assert empty.receipt is None
    assert empty.explanations == ()
    assert empty.errors == {}


def test_json_is_that_of_the_contract(analysis: Analysis, answer: v1.AnalyzeResponse) -> None:
    body = json.loads(analysis.to_json())
    assert body["prediction"]["classes"][0] == {"index": 207, "label": "golden retriever", "probability": 0.75}
    assert body["robustness"]["distances"][1]["gradient_evaluations"] == 0, "defaults are spelled out"
    assert "distance" not in body["robustness"]["distances"][1], "absent values are absent"
    assert body["request_id"] == answer.request_id


def test_values_are_frozen(analysis: Analysis) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(analysis, "model", "another")  # noqa: B010 (type checkers refuse the plain way)


def test_pictures_stay_out_of_the_repr(analysis: Analysis) -> None:
    assert "PNG" not in repr(analysis)
    assert "array(" not in repr(analysis)


def test_models_arrive_whole() -> None:
    model = v1.Model(
        name="lite0",
        version="1.0",
        title="Lite0",
        architecture="efficientnet_lite/efficientnet-lite0",
        preprocessing=v1.Preprocessing(resize=256, crop=224, mean=[0.5] * 3, std=[0.25] * 3),
        num_classes=2,
        labels=["tench", "goldfish"],
        methods=[
            v1.Method(
                name="integrated_gradients",
                summary="Paths.",
                reference="1703.01365",
                options=["baseline", "max_evaluations", "tolerance"],
                evaluations="gradient",
                default_evaluations=50,
                min_evaluations=3,
                default_tolerance=0.05,
                default_baseline="black",
                randomisation_test=v1.RandomisationTest(
                    passed=True, similarity=0.1, threshold=0.5, pictures=8, evaluations=6
                ),
            ),
            v1.Method(name="attention_rollout", unavailable="It has no attention."),
        ],
        norms=["linf", "l2"],
        digests=v1.Digests(weights_sha256="ab"),
        packing_check=v1.PackingCheck(
            pictures=20,
            max_logit_difference=1e-5,
            max_map_difference=1e-4,
            runtime={"torch": "2.14.1"},
            multiply_adds=17e9,
        ),
        attacks=[
            v1.Attack(
                name="fmn", summary="Steps.", reference="2102.12827", norms=["linf", "l2"], evaluations="gradient"
            ),
            v1.Attack(name="square", norms=["linf"], evaluations="forward"),
        ],
        default_attack="fmn",
        attack_check=v1.AttackCheck(
            reasons=["It is random."],
            pictures=20,
            attacked=5,
            repetition_difference=0.5,
            softmax_output=True,
            zero_gradient_share=0.1,
            black_box_better_share=0.2,
            optimises_at_inference=True,
            radius_helps_share=0.3,
            planted=5,
            planted_found=4,
            gradient_evaluations=10,
            forward_evaluations=150,
            planted_evaluations=15,
        ),
        corruptions=[v1.CorruptionKind(name="fog", group="weather", summary="Haze.", severities=5)],
        batch_sizes=v1.BatchSizes(forward=4, occluded=4, gradient=1, runtime={"threads": "1"}),
        audit=v1.Audit(
            id="audit-1",
            pictures=9,
            attributes=["age"],
            digests=v1.Digests(weights_sha256="ab"),
            calibration=v1.Calibration(state="ok", n=9, methods=["lac"]),
            flags={"flagged": 2},
            files=[v1.AuditFile(format="html", size=7, sha256="cd", thumbnails=3)],
            references=v1.References(pictures=9, dimensions=1280, thumbnails=8, sha256={"a": "b"}),
        ),
    )
    assert_same(model, read_model(model))
    assert_same(v1.Model(name="bare"), read_model(v1.Model(name="bare")))
