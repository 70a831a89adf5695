"""Parts that fail, requests that fail, and calls that are given up."""

import asyncio
from contextlib import aclosing

import pytest
from google.rpc import code_pb2

from server.gateway.calls import CALLS, LIMIT, MODEL, Stream, analyze, request
from server.gateway.jobs import EVERYTHING, EXPLANATIONS, JOBS
from server.waiting import settle
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment

pytestmark = pytest.mark.usefixtures("_nothing_leaks")


def status_of(answer, name):
    if name.startswith("explanations"):
        [status] = [each.status for each in answer.explanations if f"explanations[{each.index}]" == name]
        return status
    return getattr(answer, name).status


FAILURES = [
    errors.UnavailableError("m", reason="WORKER_DIED", retry_after=2.0),
    errors.OverloadedError("m", retry_after=2.0),
    errors.DeadlineExceededError("m"),
    errors.FailedPreconditionError("m"),
    errors.InternalError("m"),
]


def raised(error, _):
    return error


def whole_result(error, _):
    return v1.WorkResult(status=error.to_status())


def own_status(error, name):
    answer = v1.AnalyzeResponse()
    part = answer.explanations.add() if name.startswith("explanations") else getattr(answer, name)
    part.status.CopyFrom(error.to_status())
    return v1.WorkResult(response=answer, compute_ms=5, final=True)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [raised, whole_result, own_status])
@pytest.mark.parametrize("failing", JOBS)
async def test_a_failed_part_does_not_affect_the_others(gateway, backend, samples, failing, way, error):
    backend.outcomes[failing] = way(error, failing)
    backend.release(*JOBS)
    answer = await analyze(gateway, EVERYTHING)
    assert status_of(answer, failing) == error.to_status()
    assert {name: status_of(answer, name).code for name in JOBS if name != failing} == {
        name: code_pb2.OK for name in JOBS if name != failing
    }
    assert [each.index for each in answer.explanations] == [0, 1]
    counted = samples("whybox_parts_total")
    assert sum(count for labels, count in counted.items() if f'code="{error.code_name}"' in labels) == 1
    assert sum(count for labels, count in counted.items() if 'code="OK"' in labels) == 3


async def test_what_the_model_cannot_do_fails_only_its_part(backend, metrics, spool):
    model = v1.Model()
    model.CopyFrom(MODEL)
    model.num_classes = 1
    gateway = Gateway(Deployment([model], backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT)
    backend.release(*JOBS)
    answer = await analyze(gateway, request(prediction={}, robustness={}))
    assert answer.prediction.status.code == code_pb2.OK
    assert answer.robustness.status.code == code_pb2.FAILED_PRECONDITION
    assert list(backend.jobs) == ["prediction"]
    with pytest.raises(errors.FailedPreconditionError, match="one class"):
        await analyze(gateway, request(robustness={}))


async def test_failed_parts_are_held_back_only_until_one_succeeds(gateway, backend):
    for name in ("prediction", "robustness"):
        backend.outcomes[name] = FAILURES[0]
    stream = Stream(gateway, EVERYTHING)
    seen = []
    for name in ("prediction", "robustness", "explanations[1]", "explanations[0]"):
        backend.release(name)
        await settle()
        seen.append(stream.names)
    await stream.task
    assert seen == [
        [],
        [],
        ["explanations[1]", "prediction", "robustness"],
        ["explanations[1]", "prediction", "robustness", "explanations[0]"],
    ]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", [raised, whole_result, own_status])
@pytest.mark.parametrize("call", CALLS)
async def test_if_every_part_fails_the_call_fails(gateway, backend, samples, call, way, error):
    backend.outcomes = {name: way(errors.InternalError("another"), name) for name in JOBS}
    backend.outcomes["prediction"] = way(error, "prediction")
    backend.release(*JOBS)
    calling = call(gateway, EVERYTHING)
    with pytest.raises(type(error)) as caught:
        await calling.task
    assert vars(caught.value) == vars(error)
    assert calling.messages == []
    assert sum(samples("whybox_parts_total").values()) == len(JOBS)


BAD_PICTURE = errors.PictureError("no picture", field="image")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("asked", "told_by", "others"),
    [
        (EVERYTHING, "prediction", JOBS[1:]),
        (request(explanations=EXPLANATIONS, robustness={}), "robustness", JOBS[1:3]),
        (request(prediction={}), "prediction", []),
    ],
    ids=["everything", "no prediction", "prediction alone"],
)
async def test_a_bad_picture_condemns_the_request_and_ends_its_work(gateway, backend, call, asked, told_by, others):
    backend.outcomes[told_by] = v1.WorkResult(status=BAD_PICTURE.to_status())
    backend.release(told_by)
    calling = call(gateway, asked)
    with pytest.raises(errors.PictureError) as caught:
        await calling.task
    assert (caught.value.message, caught.value.field) == ("no picture", "image")
    assert calling.messages == []
    assert backend.given_up == set(others)


@pytest.mark.parametrize("call", CALLS)
async def test_every_part_finds_the_picture_bad(gateway, backend, call):
    backend.outcomes = {name: v1.WorkResult(status=BAD_PICTURE.to_status()) for name in JOBS}
    backend.release(*JOBS)
    calling = call(gateway, EVERYTHING)
    with pytest.raises(errors.PictureError):
        await calling.task


@pytest.mark.parametrize("call", CALLS)
async def test_a_bug_is_not_swallowed(gateway, backend, call):
    backend.outcomes["prediction"] = ZeroDivisionError()
    backend.release("prediction")
    calling = call(gateway, EVERYTHING)
    with pytest.raises((ZeroDivisionError, errors.InternalError)) as caught:
        await calling.task
    # A stream makes an error of ours of it, which could name missing parts.
    assert isinstance(caught.value.__cause__ or caught.value, ZeroDivisionError)
    assert backend.given_up == set(JOBS[1:])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("released", [[], ["robustness"], ["prediction", "explanations[0]"]], ids=" ".join)
async def test_a_cancelled_call_ends_its_work(gateway, backend, call, released):
    backend.release(*released)
    calling = call(gateway, EVERYTHING).task
    await settle()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert backend.given_up == set(JOBS) - set(released)


@pytest.mark.parametrize("taken", [1, 2])
async def test_a_stream_that_its_caller_leaves_ends_its_work(gateway, backend, taken):
    backend.release("prediction", "robustness")
    async with aclosing(gateway.stream(EVERYTHING, request_id="id-1", timeout=30)) as parts:
        for _ in range(taken):
            await anext(parts)
    assert backend.given_up == {"explanations[0]", "explanations[1]"}
