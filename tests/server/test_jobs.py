import pytest
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox_server.jobs import jobs
from whybox_server.torchserve.config import PoolKind

COMMON = {"model": "m", "version": "1", "image": b"picture", "seed": 7}
PREDICTION, ROBUSTNESS, BIAS = {"top_k": 3}, {"norms": ["linf"], "budget": "12"}, {"attributes": ["age"]}
CAM, GRADIENTS = {"method": "grad_cam"}, {"method": "integrated_gradients", "steps": 9}
PREDICT, ANALYZE = PoolKind.PREDICT, PoolKind.ANALYZE

# What is asked for, and for each job: its pool, its parts, its index, its names, its label in the metrics.
SPLITS = {
    "prediction": (
        {"prediction": PREDICTION},
        [(PREDICT, {"prediction": PREDICTION}, 0, ["prediction"], ("prediction", ""))],
    ),
    "bias alone": ({"bias": BIAS}, [(PREDICT, {"bias": BIAS}, 0, ["bias"], ("bias", ""))]),
    "bias rests on the prediction": (
        {"bias": BIAS, "prediction": PREDICTION},
        [(PREDICT, {"prediction": PREDICTION, "bias": BIAS}, 0, ["prediction", "bias"], ("prediction", ""))],
    ),
    "explanations keep their place": (
        {"explanations": [CAM, GRADIENTS]},
        [
            (ANALYZE, {"explanations": [CAM]}, 0, ["explanations[0]"], ("explanation", "grad_cam")),
            (ANALYZE, {"explanations": [GRADIENTS]}, 1, ["explanations[1]"], ("explanation", "integrated_gradients")),
        ],
    ),
    "everything, the prediction first": (
        {"robustness": ROBUSTNESS, "explanations": [CAM], "prediction": PREDICTION},
        [
            (PREDICT, {"prediction": PREDICTION}, 0, ["prediction"], ("prediction", "")),
            (ANALYZE, {"explanations": [CAM]}, 0, ["explanations[0]"], ("explanation", "grad_cam")),
            (ANALYZE, {"robustness": ROBUSTNESS}, 0, ["robustness"], ("robustness", "")),
        ],
    ),
    "empty options are a wish": (
        {"prediction": {}, "robustness": {}},
        [
            (PREDICT, {"prediction": {}}, 0, ["prediction"], ("prediction", "")),
            (ANALYZE, {"robustness": {}}, 0, ["robustness"], ("robustness", "")),
        ],
    ),
    "nothing": ({}, []),
}


@pytest.mark.parametrize(("parts", "expected"), SPLITS.values(), ids=SPLITS)
def test_splitting(parts, expected):
    split = list(jobs(v1.AnalyzeRequest(**COMMON, **parts)))
    assert [(job.kind, job.request, job.index, job.names, job.label) for job in split] == [
        (kind, v1.AnalyzeRequest(**COMMON, **part), index, names, label) for kind, part, index, names, label in expected
    ]


@pytest.mark.parametrize(("parts", "expected"), SPLITS.values(), ids=SPLITS)
def test_a_failed_job_has_its_status_in_every_part_and_no_other(parts, expected):
    status = Status(code=14, message="gone")
    for job, (_, part, *_) in zip(jobs(v1.AnalyzeRequest(**COMMON, **parts)), expected, strict=True):
        answer = job.failed(status)
        assert {field.name for field, _ in answer.ListFields()} == set(part)
        statuses = [getattr(answer, name).status for name in part if name != "explanations"]
        statuses += [explanation.status for explanation in answer.explanations]
        assert statuses == [status] * len(job.names)
        assert [each.method for each in answer.explanations] == [
            each["method"] for each in part.get("explanations", [])
        ]
