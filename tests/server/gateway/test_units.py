"""How a request is split into units of work, and what becomes of their answers."""

from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from messages import message
from whybox import v1
from whybox_server.gateway.pools import PoolKind
from whybox_server.gateway.units import together, units
from whybox_server.validation.explanations import ExplanationOptions

Parts = dict[str, Any]

COMMON: Parts = {"model": "m", "version": "1", "seed": 7, "view": True}
PREDICTION, ROBUSTNESS, BIAS = {"top_k": 3}, {"norms": ["linf"], "budget": "12"}, {"attributes": ["age"]}
CERTIFIED = {"sigma": 0.25, "samples": 1000, "alpha": 0.001}
CAM, OTHER_CAM, THIRD_CAM = ({"method": "grad_cam", "target_class": index} for index in range(3))
PATH, OTHER_PATH = ({"method": "integrated_gradients", "target_class": index} for index in range(2))
PREDICT, ANALYZE = PoolKind.PREDICT, PoolKind.ANALYZE

# What is asked for; and for each unit its pool, its parts, and the names that they have in the whole answer.
SPLITS: dict[str, tuple[Parts, list[tuple[PoolKind, Parts, list[str]]]]] = {
    "prediction": ({"prediction": PREDICTION}, [(PREDICT, {"prediction": PREDICTION}, ["prediction"])]),
    "bias alone": ({"bias": BIAS}, [(PREDICT, {"bias": BIAS}, ["bias"])]),
    "bias rests on the prediction": (
        {"bias": BIAS, "prediction": PREDICTION},
        [(PREDICT, {"prediction": PREDICTION, "bias": BIAS}, ["prediction", "bias"])],
    ),
    "each method is a unit": (
        {"explanations": [CAM, PATH]},
        [
            (ANALYZE, {"explanations": [CAM]}, ["explanations[0]"]),
            (ANALYZE, {"explanations": [PATH]}, ["explanations[1]"]),
        ],
    ),
    "maps of one method are one unit": (
        {"explanations": [CAM, OTHER_CAM]},
        [(ANALYZE, {"explanations": [CAM, OTHER_CAM]}, ["explanations[0]", "explanations[1]"])],
    ),
    "even the same map twice": (
        {"explanations": [CAM, CAM]},
        [(ANALYZE, {"explanations": [CAM, CAM]}, ["explanations[0]", "explanations[1]"])],
    ),
    "maps keep their place": (
        {"explanations": [PATH, CAM, OTHER_PATH, OTHER_CAM, THIRD_CAM]},
        [
            (ANALYZE, {"explanations": [PATH, OTHER_PATH]}, ["explanations[0]", "explanations[2]"]),
            (
                ANALYZE,
                {"explanations": [CAM, OTHER_CAM, THIRD_CAM]},
                ["explanations[1]", "explanations[3]", "explanations[4]"],
            ),
        ],
    ),
    "a certificate": ({"certified": CERTIFIED}, [(ANALYZE, {"certified": CERTIFIED}, ["certified"])]),
    "everything, the prediction first": (
        {"certified": CERTIFIED, "robustness": ROBUSTNESS, "explanations": [CAM], "prediction": PREDICTION},
        [
            (PREDICT, {"prediction": PREDICTION}, ["prediction"]),
            (ANALYZE, {"explanations": [CAM]}, ["explanations[0]"]),
            (ANALYZE, {"robustness": ROBUSTNESS}, ["robustness"]),
            (ANALYZE, {"certified": CERTIFIED}, ["certified"]),
        ],
    ),
    "empty options are a wish": (
        {"prediction": {}, "robustness": {}},
        [(PREDICT, {"prediction": {}}, ["prediction"]), (ANALYZE, {"robustness": {}}, ["robustness"])],
    ),
    "nothing": ({}, []),
}
TABLE = pytest.mark.parametrize(("parts", "expected"), SPLITS.values(), ids=SPLITS)


def split(parts):
    return list(units(message(v1.AnalyzeRequest, **COMMON, **parts)))


def kind_of(name):
    return "explanation" if name.startswith("explanations") else name


@TABLE
def test_splitting(parts, expected):
    assert [(unit.pool, unit.request) for unit in split(parts)] == [
        (kind, message(v1.AnalyzeRequest, **COMMON, **part)) for kind, part, _ in expected
    ]


@TABLE
def test_each_part_is_known_by_its_name_in_the_whole_answer(parts, expected):
    for unit, (_, part, names) in zip(split(parts), expected, strict=True):
        answer = v1.AnalyzeResponse()
        for name in set(part) - {"explanations"}:
            getattr(answer, name).status.code = code_pb2.OK
        for index, options in enumerate(part.get("explanations", ())):
            # A worker knows nothing of the whole request, and each part has a status of its own.
            answer.explanations.add(index=index, method=options["method"], status=Status(code=index))
        answered = unit.answered(answer)
        assert [(each.name, each.kind) for each in answered] == [(name, kind_of(name)) for name in names]
        assert [f"explanations[{each.index}]" for each in answer.explanations] == [
            name for name in names if kind_of(name) == "explanation"
        ]
        maps = [each for each in answered if each.kind == "explanation"]
        assert [(each.method, each.status.code) for each in maps] == [
            (options["method"], index) for index, options in enumerate(part.get("explanations", ()))
        ]
        assert {each.method for each in answered if each.kind != "explanation"} <= {""}


@TABLE
def test_a_failed_unit_has_its_status_in_every_part_and_no_other(parts, expected):
    status = Status(code=14, message="gone")
    for unit, (_, part, names) in zip(split(parts), expected, strict=True):
        answer = unit.failed(status)
        assert {field.name for field, _ in answer.ListFields()} == set(part)
        assert [(each.name, each.status) for each in unit.answered(answer)] == [(name, status) for name in names]
        assert [each.method for each in answer.explanations] == [
            each["method"] for each in part.get("explanations", [])
        ]


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_worker_that_answers_fewer_or_more_maps_is_not_believed(number):
    [unit] = split({"explanations": [CAM, OTHER_CAM]})
    with pytest.raises(ValueError, match="zip"):
        unit.answered(message(v1.AnalyzeResponse, explanations=[{}] * number))


MODEL = v1.Model(
    name="m",
    num_classes=10,
    methods=[
        v1.Method(name="grad_cam"),
        v1.Method(
            name="rise", options=["max_evaluations", "tolerance"], default_evaluations=2000, default_tolerance=0.1
        ),
    ],
)


@pytest.mark.parametrize(
    "parts",
    [
        {"prediction": PREDICTION, "bias": BIAS},
        {"explanations": [CAM]},
        {"certified": CERTIFIED},
        {"robustness": ROBUSTNESS},
    ],
    ids=" ".join,
)
def test_work_says_where_the_picture_lies(parts):
    [unit] = split(parts)
    expected = v1.Work(
        request_id="id-1", request=message(v1.AnalyzeRequest, **COMMON, **parts), picture_path="/spool/1"
    )
    assert unit.work(Path("/spool/1"), MODEL, "id-1") == expected


@pytest.mark.parametrize(
    ("method", "defaults"),
    [("grad_cam", {}), ("rise", {"max_evaluations": 2000, "tolerance": 0.1})],
)
def test_a_twin_has_the_defaults_of_any_map(method, defaults):
    [unit] = split({"robustness": {"twin": method}})
    work = unit.work(Path("/spool/1"), MODEL, "id-1")
    assert work.twin == v1.ExplanationOptions(method=method, encodings=["uint8"], channels="sum", **defaults)
    asked = message(v1.AnalyzeRequest, explanations=[{"method": method}])
    ExplanationOptions().fill(asked, MODEL)
    assert work.twin == asked.explanations[0]


@pytest.mark.parametrize("asked", [asked for asked, _ in SPLITS.values()], ids=SPLITS)
def test_the_entries_of_a_unit_are_together_the_unit(asked):
    for unit in units(message(v1.AnalyzeRequest, **COMMON, **asked)):
        entries = list(unit.entries())
        assert together(entries) == unit
        assert sum(len(entry.request.explanations) or 1 for entry in entries) == len(entries)
        answer = unit.failed(Status(code=code_pb2.INTERNAL))
        answer.receipt.runtime["torch"] = "2"
        shares = list(unit.shares(answer))
        names = [[part.name for part in entry.answered(share)] for entry, share in zip(entries, shares, strict=True)]
        assert names == [[part.name] for part in unit.answered(answer)]
        assert {share.receipt.runtime["torch"] for share in shares} == {"2"}
