"""A certificate among the other parts of an answer, over pools that answer piece by piece."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from google.rpc import code_pb2

from messages import message
from server.backends import InTurn
from server.gateway import calls
from server.gateway.calls import IMAGE, LIMIT, analyze
from server.waiting import settle
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment

PARTS: dict[str, Any] = {"prediction": {}, "certified": {"sigma": 0.25}}


def request(**parts):
    return calls.request(seed=7, **parts)


def piece(samples, *, final=False):
    part = {"state": "certified", "class_index": 3, "class_label": "cat", "radius": 0.1, "samples": samples}
    response = message(v1.AnalyzeResponse, certified=part, receipt={"runtime": {"torch": "2.14"}})
    if final:
        return v1.WorkResult(response=response, compute_ms=1000, final=True)
    growing = {"state": "running", "class_index": 3, "samples": samples}
    running = message(v1.AnalyzeResponse, certified=growing, receipt=response.receipt)
    response.certified.stopped_by = "deadline"
    return v1.WorkResult(response=running, so_far=response, resume=b"drawn", compute_ms=1000)


PIECES = [piece(50), piece(90), piece(100, final=True)]
PREDICTION = message(
    v1.WorkResult,
    response={"prediction": {"classes": [{"index": 3}]}, "receipt": {"runtime": {"onnxruntime": "1"}}},
    compute_ms=5,
    final=True,
)


@pytest.fixture
def backend():
    """Answers the pieces of a certificate in turn, at first with `PIECES`."""
    return InTurn(PIECES, PREDICTION)


async def stream(gateway, asked):
    async with aclosing(gateway.stream(asked, request_id="id-1", timeout=30)) as parts:
        return [part async for part in parts]


async def test_a_stream_shows_the_certificate_growing(gateway):
    first, *parts = await stream(gateway, request(**PARTS))
    assert first.HasField("prediction")
    states = [(part.certified.state, part.certified.samples) for part in parts]
    assert states == [("running", 50), ("running", 90), ("certified", 100)]
    for part in parts:
        assert (part.request_id, part.model, part.version) == ("id-1", "m", "2")
        assert not part.HasField("prediction")
        assert part.receipt.runtime == {"torch": "2.14"}
    assert [part.certified.HasField("radius") for part in parts] == [False, False, True]
    assert [[timing.part for timing in part.timings.parts] for part in parts] == [[], [], ["certified"]]
    totals = [part.timings.total_ms for part in parts]
    assert totals == sorted(totals)


async def test_one_answer_holds_only_the_last(gateway):
    answer = await analyze(gateway, request(**PARTS))
    assert answer.certified == PIECES[-1].response.certified
    assert answer.HasField("prediction")
    assert [(timing.part, timing.compute_ms) for timing in answer.timings.parts] == [
        ("prediction", 5),
        ("certified", 3000),
    ]
    assert answer.timings.parts[1].total_ms <= answer.timings.total_ms
    assert answer.receipt.runtime == {"torch": "2.14", "onnxruntime": "1"}
    assert json.loads(answer.receipt.parameters)["certified"] == {"sigma": 0.25, "samples": 1000, "alpha": 0.001}


async def test_a_certificate_alone_waits_for_nothing(gateway, backend):
    parts = await stream(gateway, request(certified={"sigma": 0.25}))
    assert [part.certified.state for part in parts] == ["running", "running", "certified"]
    assert [work.request.seed for work in backend.works] == [7] * 3


@in_virtual_time
async def test_the_deadline_ends_it_with_what_was_drawn(gateway, backend):
    backend.pieces = [piece(50), None]
    answer = await analyze(gateway, request(**PARTS))
    assert (answer.certified.state, answer.certified.samples) == ("certified", 50)
    assert answer.certified.stopped_by == "deadline"
    assert [timing.compute_ms for timing in answer.timings.parts] == [5, 1000]


DIED = errors.UnavailableError("died", reason="WORKER_DIED", retry_after=2.0)
FAILED = errors.FailedPreconditionError("failed", reason="WHY", field="certified")


@pytest.mark.parametrize("end", [[piece(100, final=True)], [None]], ids=["another takes over", "no other does in time"])
@in_virtual_time
async def test_a_worker_that_dies_takes_nothing_away(gateway, backend, end):
    backend.pieces = [piece(50), DIED, *end]
    answer = await analyze(gateway, request(**PARTS))
    assert answer.certified.state == "certified"
    assert answer.certified.samples == (50 if end == [None] else 100)


async def test_a_certificate_that_fails_midway_does_not_affect_the_others(gateway, backend):
    backend.pieces = [piece(50), FAILED]
    answer = await analyze(gateway, request(**PARTS))
    assert answer.HasField("prediction")
    assert answer.certified == v1.Certified(status=FAILED.to_status())
    backend.pieces = [piece(50), FAILED]
    parts = await stream(gateway, request(**PARTS))
    assert [part.certified.state for part in parts] == ["", "running", ""]
    assert parts[-1].certified.status.code == code_pb2.FAILED_PRECONDITION
    assert [timing.part for timing in parts[-1].timings.parts] == ["certified"]


@pytest.mark.parametrize("call", [analyze, stream])
async def test_if_nothing_else_was_asked_the_call_fails(gateway, backend, call):
    backend.pieces = [piece(50), FAILED]
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await call(gateway, request(certified={"sigma": 0.25}))
    told = caught.value
    assert (told.reason, told.field) == (FAILED.reason, FAILED.field)
    # A stream had begun, and names what it owes.
    assert (told.message, told.missing) in [
        (FAILED.message, ()),
        (f"{FAILED.message}; the stream ended without certified", ("certified",)),
    ]
    assert len(backend.works) == 2


async def test_what_is_running_makes_no_success(gateway, backend):
    """Failed parts wait until another has succeeded, or all have failed."""
    backend.prediction, backend.pieces = errors.InternalError("m"), [piece(50), piece(100, final=True)]
    parts = await stream(gateway, request(**PARTS))
    assert [part.certified.state for part in parts] == ["running", "certified", ""]
    assert parts[-1].prediction.status.code == code_pb2.INTERNAL
    backend.pieces = [piece(50), FAILED]
    with pytest.raises(errors.InternalError):
        await analyze(gateway, request(**PARTS))


@pytest.mark.parametrize("pieces", [[None], [piece(50), None]], ids=["at once", "later"])
async def test_a_cancelled_call_ends_its_work(gateway, backend, spooled, pieces):
    backend.pieces = list(pieces)
    calling = asyncio.create_task(stream(gateway, request(**PARTS)))
    await settle()
    assert len(backend.works) == len(pieces)
    assert spooled() == [IMAGE]
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert len(backend.cancelled) == 1


async def test_a_stream_that_is_left_ends_its_work(gateway, backend):
    backend.pieces = [piece(50), None]
    async with aclosing(gateway.stream(request(certified={"sigma": 1}), request_id="id-1", timeout=30)) as parts:
        await anext(parts)
        await settle()
    assert len(backend.cancelled) == 1


async def test_a_model_with_one_class_fails_only_this_part(backend, metrics, spool):
    model = v1.Model(name="m", version="2", num_classes=1)
    gateway = Gateway(Deployment([model], backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT)
    answer = await analyze(gateway, request(**PARTS))
    assert answer.prediction.status.code == code_pb2.OK
    assert answer.certified.status.code == code_pb2.FAILED_PRECONDITION
    assert backend.works == []
    with pytest.raises(errors.FailedPreconditionError, match="one class") as caught:
        await analyze(gateway, request(certified={"sigma": 0.25}))
    assert caught.value.reason == "ONE_CLASS"


@pytest.mark.parametrize(("pieces", "code"), [(PIECES, "OK"), ([piece(50), FAILED], "FAILED_PRECONDITION")])
async def test_it_is_counted_once(gateway, backend, samples, pieces, code):
    backend.pieces = list(pieces)
    await analyze(gateway, request(**PARTS))
    counted = {labels: count for labels, count in samples("whybox_parts_total").items() if "certified" in labels}
    assert counted == {f'{{code="{code}",method="",model="m",part="certified",version="2"}}': 1}
