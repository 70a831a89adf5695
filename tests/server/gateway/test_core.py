"""Parts in the order in which they are ready, what each pool is handed, and what every answer tells."""

import asyncio
import hashlib
from contextlib import nullcontext
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from messages import message
from server.gateway.calls import IMAGE, LIMIT, MODEL, Stream, analyze, request
from server.gateway.jobs import EVERYTHING, EXPLANATIONS, JOBS
from server.waiting import settle
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.core import detached
from whybox_server.gateway.deadlines import now
from whybox_server.gateway.parts import OPTIONS
from whybox_server.gateway.pools import PoolKind
from whybox_server.validation.request import validated

FILLED = validated(detached(EVERYTHING)[1], IMAGE, MODEL, OPTIONS, LIMIT)

pytestmark = pytest.mark.usefixtures("_nothing_leaks")


@pytest.mark.parametrize("order", [*permutations(JOBS)], ids=" ".join)
async def test_the_answer_has_the_order_of_the_request(gateway, backend, order):
    answering = analyze(gateway, EVERYTHING)
    for name in order:
        assert not answering.done()
        backend.release(name)
        await settle()
    answer = answering.result()
    assert [(each.index, each.target_class, each.method) for each in answer.explanations] == [
        (0, 0, "integrated_gradients"),
        (1, 1, "grad_cam"),
    ]
    assert answer.HasField("prediction")
    assert answer.HasField("robustness")
    assert not answer.HasField("bias")
    assert (answer.request_id, answer.model, answer.version) == ("id-1", "m", "2")


@pytest.mark.parametrize("order", [*permutations(JOBS)], ids=" ".join)
async def test_a_stream_gives_the_prediction_first_and_then_what_is_ready(gateway, backend, order):
    stream = Stream(gateway, EVERYTHING)
    for count, name in enumerate(order, 1):
        backend.release(name)
        await settle()
        released = order[:count]
        if "prediction" not in released:
            assert stream.names == []
            continue
        assert stream.names[0] == "prediction"
        assert sorted(stream.names) == sorted(released)
    since = order.index("prediction") + 1
    assert stream.names[since:] == list(order[since:])
    await stream.task
    for part in stream.messages:
        assert (part.request_id, part.model, part.version) == ("id-1", "m", "2")
        assert part.receipt.seed == 7
        assert [each.index for each in part.explanations] == [each.target_class for each in part.explanations]


@pytest.mark.parametrize("order", [*permutations(JOBS[1:])], ids=" ".join)
async def test_without_a_prediction_nothing_waits_for_anything(gateway, backend, order):
    stream = Stream(gateway, request(explanations=EXPLANATIONS, robustness={}))
    for count, name in enumerate(order, 1):
        backend.release(name)
        await settle()
        assert stream.names == list(order[:count])
    await stream.task


async def test_a_stream_adds_up_to_the_whole_answer(gateway, backend):
    backend.release(*JOBS)
    stream = Stream(gateway, EVERYTHING)
    await stream.task
    whole = v1.AnalyzeResponse()
    for part in stream.messages:
        whole.MergeFrom(part)
    whole.explanations.sort(key=lambda each: each.index)
    answer = await analyze(gateway, EVERYTHING)
    for either in (whole, answer):
        assert sorted(timing.part for timing in either.timings.parts) == sorted(JOBS)
        either.ClearField("timings")
    assert whole == answer


async def test_bias_rests_on_the_prediction(gateway, backend):
    backend.release("prediction", "bias")
    answer = await analyze(gateway, request(prediction={}, bias={}))
    assert list(backend.jobs) == ["prediction"]
    assert answer.HasField("prediction")
    assert answer.HasField("bias")
    assert [timing.part for timing in answer.timings.parts] == ["prediction", "bias"]


async def test_each_pool_is_handed_its_part_and_no_more(gateway, backend, temporary):
    answering = analyze(gateway, EVERYTHING, timeout=12.5)
    await settle()
    [path] = map(str, temporary.glob("*/*"))
    backend.release(*JOBS)
    await answering
    common = {"model": "m", "version": "2", "seed": 7}
    expected: dict[str, tuple[str, dict[str, Any]]] = {
        "prediction": ("predict", {"prediction": FILLED.prediction}),
        "explanations[0]": ("analyze", {"explanations": FILLED.explanations[:1]}),
        "explanations[1]": ("analyze", {"explanations": FILLED.explanations[1:]}),
        "robustness": ("analyze", {"robustness": FILLED.robustness}),
    }
    assert {name: (asked.model, asked.kind, asked.work) for name, asked in backend.jobs.items()} == {
        name: (
            "m",
            PoolKind(kind),
            message(v1.Work, request_id="id-1", request=common | part, picture_path=path),
        )
        for name, (kind, part) in expected.items()
    }
    # Each is told when to stop, and when to plan to: before the caller is answered, before it hangs up.
    for asked in backend.jobs.values():
        assert 0 < asked.aim < asked.seconds < 12.5 - 0.05 * 12.5


# Maps of one method come from one worker, in one answer.
GROUPED = {
    "explanations[0]": {"method": "integrated_gradients", "target_class": 0},
    "explanations[1]": {"method": "grad_cam", "target_class": 1},
    "explanations[2]": {"method": "integrated_gradients", "target_class": 2},
}


@pytest.mark.parametrize(
    ("codes", "counted"),
    [
        ((code_pb2.OK, code_pb2.OK), {("OK", "integrated_gradients"): 2, ("OK", "grad_cam"): 1}),
        (
            (code_pb2.OK, code_pb2.DEADLINE_EXCEEDED),
            {
                ("OK", "integrated_gradients"): 1,
                ("DEADLINE_EXCEEDED", "integrated_gradients"): 1,
                ("OK", "grad_cam"): 1,
            },
        ),
        (
            (code_pb2.INVALID_ARGUMENT, code_pb2.INTERNAL),
            {
                ("INVALID_ARGUMENT", "integrated_gradients"): 1,
                ("INTERNAL", "integrated_gradients"): 1,
                ("OK", "grad_cam"): 1,
            },
        ),
    ],
)
async def test_each_map_has_its_place_and_its_status(gateway, backend, samples, codes, counted):
    asked = request(explanations=GROUPED.values())
    both = v1.AnalyzeResponse()
    for code, target in zip(codes, (0, 2), strict=True):
        both.explanations.add(method="integrated_gradients", target_class=target).status.code = code
    backend.outcomes["explanations[0]"] = v1.WorkResult(response=both, compute_ms=5, final=True)
    backend.release(*GROUPED)
    answer = await analyze(gateway, asked)
    assert len(backend.asked) == 2
    assert [(each.index, each.target_class) for each in answer.explanations] == [(0, 0), (1, 1), (2, 2)]
    statuses = [codes[0], code_pb2.OK, codes[1]]
    assert [each.status.code for each in answer.explanations] == statuses
    assert sorted(timing.part for timing in answer.timings.parts) == list(GROUPED)
    assert samples("whybox_parts_total") == {
        f'{{code="{code}",method="{method}",model="m",part="explanation",version="2"}}': count
        for (code, method), count in counted.items()
    }


@pytest.mark.parametrize(
    ("prediction", "bias", "failure"),
    [
        (code_pb2.OK, code_pb2.OK, None),
        (code_pb2.INTERNAL, code_pb2.OK, None),
        (code_pb2.OK, code_pb2.FAILED_PRECONDITION, None),
        (code_pb2.UNAVAILABLE, code_pb2.FAILED_PRECONDITION, errors.UnavailableError),
    ],
)
async def test_prediction_and_bias_are_counted_each_with_its_own_code(
    gateway, backend, samples, prediction, bias, failure
):
    answer = message(v1.AnalyzeResponse, prediction={"status": {"code": prediction}}, bias={"status": {"code": bias}})
    backend.outcomes["prediction"] = v1.WorkResult(response=answer, final=True)
    backend.release("prediction")
    with pytest.raises(failure) if failure else nullcontext():
        await analyze(gateway, request(prediction={}, bias={}))
    codes = {"prediction": prediction, "bias": bias}
    assert samples("whybox_parts_total") == {
        f'{{code="{code_pb2.Code.Name(code)}",method="",model="m",part="{part}",version="2"}}': 1
        for part, code in codes.items()
    }


async def test_the_receipt_replays_the_request(gateway, backend):
    backend.release(*JOBS)
    receipt = (await analyze(gateway, EVERYTHING)).receipt
    assert receipt.image_sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert receipt.weights_sha256 == "weights"
    assert receipt.runtime == {"torch": "2.14", **dict.fromkeys(JOBS, "1")}
    replay = json_format.Parse(receipt.parameters, v1.AnalyzeRequest(image=IMAGE))
    picture, asked = detached(replay)
    assert picture == IMAGE
    assert asked == FILLED
    again = (await analyze(gateway, replay)).receipt
    assert again == receipt


@in_virtual_time
async def test_timings(gateway, backend, monkeypatch):
    monkeypatch.setattr("whybox_server.gateway.core.time", SimpleNamespace(perf_counter=now))
    backend.outcomes["robustness"] = errors.UnavailableError("m", retry_after=2.0)
    answering = analyze(gateway, EVERYTHING)
    await asyncio.sleep(0.02)
    backend.release("prediction", "robustness")
    await asyncio.sleep(0.03)
    backend.release("explanations[0]", "explanations[1]")
    timings = (await answering).timings
    assert {timing.part: timing.compute_ms for timing in timings.parts} == {**dict.fromkeys(JOBS, 5), "robustness": 0}
    assert {timing.part: timing.total_ms for timing in timings.parts} == {
        "prediction": pytest.approx(20),
        "robustness": pytest.approx(20),
        "explanations[0]": pytest.approx(50),
        "explanations[1]": pytest.approx(50),
    }
    assert timings.total_ms == pytest.approx(50)


async def test_parts_are_counted_by_method(gateway, backend, samples):
    backend.outcomes["explanations[1]"] = errors.OverloadedError("m", retry_after=2.0)
    backend.release(*JOBS)
    await analyze(gateway, EVERYTHING)
    backend.release("bias")
    await analyze(gateway, request(bias={}))
    rows = [
        ("OK", "", "prediction"),
        ("OK", "integrated_gradients", "explanation"),
        ("UNAVAILABLE", "grad_cam", "explanation"),
        ("OK", "", "robustness"),
        ("OK", "", "bias"),
    ]
    assert samples("whybox_parts_total") == {
        f'{{code="{code}",method="{method}",model="m",part="{part}",version="2"}}': 1 for code, method, part in rows
    }
