"""What callers see of operations: the same on both transports and both databases."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as pb
from google.rpc import code_pb2

from server.conftest import LIMITS, MAX_IMAGE_BYTES, MODEL, FakeGateway
from server.operations.conftest import OTHER, OWNER, PREDICTS, Ask, metadata_of, response_of
from studying import UtcClock
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox.v1.errors import (
    FailedPreconditionError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnavailableError,
    WhyboxError,
    error_from_status,
)
from whybox_server.access.checking import Access
from whybox_server.access.keys import digest
from whybox_server.monitoring.metrics import Metrics
from whybox_server.operations import core
from whybox_server.operations.core import Operations
from whybox_server.rest import create_app
from whybox_server.rpc.service import create_server

UNKNOWN = "operations/AAAAAAAAAAAAAAAAAAAAAA"


def files(folder: Path) -> list[Path]:
    """The requests that are kept."""
    return [path for path in folder.iterdir() if path.name != "server"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_from_start_to_end(
    ask: Ask, gateway: FakeGateway, folder: Path, clock: UtcClock, keys: dict[str, str]
) -> None:
    gateway.waits = True
    started = await ask("StartAnalysis", OWNER)
    assert (started.done, started.WhichOneof("result")) == (False, None)
    await gateway.started.wait()
    seen = metadata_of(await ask("GetOperation", OWNER, started.name))
    assert (seen.state, seen.model, seen.version, seen.runs) == ("running", MODEL, "1", 1)
    assert seen.create_time.ToDatetime(clock().tzinfo) == clock()
    [kept] = files(folder)
    assert (mode(kept), mode(folder)) == (0o600, 0o700)
    assert v1.AnalyzeRequest.FromString(kept.read_bytes()).image == b"picture"
    # The operation is the gateway's call of its caller, with the server's own time.
    assert [caller.key for caller in gateway.callers] == [digest(keys[OWNER])]
    assert gateway.timeouts == [pytest.approx(300, abs=5)]
    assert gateway.request_ids == [seen.request_id]
    # Without its end, a wait tells how far it is.
    assert not (await ask("WaitOperation", OWNER, started.name, timeout=1)).done


async def test_the_result(ask: Ask, gateway: FakeGateway, folder: Path, clock: UtcClock) -> None:
    started = await ask("StartAnalysis", OWNER)
    ended = await ask("WaitOperation", OWNER, started.name)
    assert ended.done
    answer = response_of(ended).SerializeToString(deterministic=True)
    assert answer == gateway.answer.SerializeToString(deterministic=True)
    told = metadata_of(ended)
    assert told.state == "succeeded"
    assert told.expire_time.ToDatetime(clock().tzinfo) == clock() + timedelta(hours=24)
    assert files(folder) == []
    assert (await ask("GetOperation", OWNER, started.name)) == ended
    await ask("DeleteOperation", OWNER, started.name)
    with pytest.raises(NotFoundError):
        await ask("GetOperation", OWNER, started.name)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (InvalidRequestError("m", field="image"), "failed"),
        (UnavailableError("m"), "failed"),
        (UnavailableError("m", retry_after=1000), "failed"),
        (FailedPreconditionError("m"), "failed"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_an_error_is_the_result(ask: Ask, gateway: FakeGateway, error: WhyboxError, state: str) -> None:
    gateway.error = error
    ended = await ask("WaitOperation", OWNER, (await ask("StartAnalysis", OWNER)).name)
    assert metadata_of(ended).state == state
    assert vars(error_from_status(ended.error)) == vars(error)


async def test_a_bug_is_not_told(ask: Ask, gateway: FakeGateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.error = ZeroDivisionError("secret")
    ended = await ask("WaitOperation", OWNER, (await ask("StartAnalysis", OWNER)).name)
    assert isinstance(error_from_status(ended.error), InternalError)
    assert "secret" not in ended.error.message
    assert metadata_of(ended).request_id in caplog.text


@pytest.mark.parametrize("end", ["CancelOperation", "DeleteOperation"])
async def test_an_unfinished_operation_is_ended(ask: Ask, gateway: FakeGateway, folder: Path, end: str) -> None:
    gateway.waits = True
    name = (await ask("StartAnalysis", OWNER)).name
    await gateway.started.wait()
    await ask(end, OWNER, name)
    assert gateway.cancelled.is_set()
    assert files(folder) == []
    if end == "CancelOperation":
        ended = await ask("WaitOperation", OWNER, name)
        assert (metadata_of(ended).state, ended.error.code) == ("cancelled", code_pb2.CANCELLED)
        # Once it has ended, there is nothing to cancel.
        await ask(end, OWNER, name)
    else:
        with pytest.raises(NotFoundError):
            await ask("GetOperation", OWNER, name)


async def test_waiting_ends_with_the_operation(ask: Ask, gateway: FakeGateway) -> None:
    gateway.waits = True
    name = (await ask("StartAnalysis", OWNER)).name
    await gateway.started.wait()
    waiting = asyncio.create_task(ask("WaitOperation", OWNER, name))
    await ask("CancelOperation", OWNER, name)
    assert (await waiting).done


@pytest.mark.parametrize("method", ["GetOperation", "WaitOperation", "CancelOperation", "DeleteOperation"])
async def test_only_the_key_that_began_it_sees_it(ask: Ask, method: str) -> None:
    name = (await ask("StartAnalysis", OWNER)).name
    for who, which in ((OTHER, name), (OWNER, UNKNOWN), (OTHER, UNKNOWN)):
        with pytest.raises(NotFoundError, match="there is no operation") as caught:
            await ask(method, who, which)
        assert (caught.value.reason, caught.value.field) == ("UNKNOWN_OPERATION", "name")
    assert [each.name for each in (await ask("ListOperations", OWNER)).operations] == [name]
    assert not (await ask("ListOperations", OTHER)).operations


async def test_a_key_for_predictions_begins_none(ask: Ask, gateway: FakeGateway) -> None:
    with pytest.raises(PermissionDeniedError, match="scope analyze"):
        await ask("StartAnalysis", PREDICTS)
    assert gateway.requests == []


async def test_lists_have_pages(ask: Ask, clock: UtcClock) -> None:
    names = []
    for _ in range(3):
        names.append((await ask("StartAnalysis", OWNER)).name)
        clock.turn(seconds=1)
    await ask("WaitOperation", OWNER, names[0])
    first = await ask("ListOperations", OWNER, page_size=2)
    assert [each.name for each in first.operations] == names[:2]
    assert first.operations[0].done
    assert not first.operations[0].HasField("response")
    second = await ask("ListOperations", OWNER, page_size=2, page_token=first.next_page_token)
    assert [each.name for each in second.operations] == names[2:]
    assert not second.next_page_token


@pytest.mark.parametrize(
    "fields", [{"page_size": -1}, {"page_token": "x"}, {"page_token": "eA=="}, {"page_token": "MjAyNi0wMS0wMSB4"}]
)
async def test_wrong_pages(ask: Ask, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await ask("ListOperations", OWNER, **fields)
    assert [caught.value.field] == list(fields)


async def test_a_wrong_request_begins_none(ask: Ask, gateway: FakeGateway, folder: Path) -> None:
    gateway.refusal = InvalidRequestError("m", field="explanations[0].method")
    with pytest.raises(InvalidRequestError) as caught:
        await ask("StartAnalysis", OWNER)
    assert caught.value.field == "explanations[0].method"
    assert not (await ask("ListOperations", OWNER)).operations
    assert files(folder) == []


async def test_a_caller_has_a_number_of_them(ask: Ask, folder: Path) -> None:
    names = [(await ask("StartAnalysis", OWNER)).name for _ in range(3)]
    for name in names:
        await ask("WaitOperation", OWNER, name)
    with pytest.raises(QuotaExceededError, match="you have 3 operations"):
        await ask("StartAnalysis", OWNER)
    assert files(folder) == []
    await ask("StartAnalysis", OTHER)
    await ask("DeleteOperation", OWNER, names[0])
    await ask("StartAnalysis", OWNER)


async def test_a_result_that_is_too_large(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "MAX_RESULT_BYTES", 100)
    ended = await ask("WaitOperation", OWNER, (await ask("StartAnalysis", OWNER)).name)
    error = error_from_status(ended.error)
    assert (error.code_name, error.reason) == ("INVALID_ARGUMENT", "ANSWER_TOO_LARGE")
    assert "at most 100; ask for fewer maps" in error.message


async def test_results_are_kept_for_a_time(ask: Ask, clock: UtcClock) -> None:
    name = (await ask("StartAnalysis", OWNER)).name
    await ask("WaitOperation", OWNER, name)
    clock.turn(seconds=24 * 3600 - 1)
    await ask("GetOperation", OWNER, name)
    clock.turn(seconds=1)
    with pytest.raises(NotFoundError, match="results are kept for 24 hours"):
        await ask("GetOperation", OWNER, name)


async def test_a_stopping_server(ask: Ask, operations: Operations, gateway: FakeGateway) -> None:
    gateway.waits = True
    name = (await ask("StartAnalysis", OWNER)).name
    await gateway.started.wait()
    waiting = asyncio.create_task(ask("WaitOperation", OWNER, name))
    await ask("GetOperation", OWNER, name)
    await operations.stop()
    for call in (waiting, ask("StartAnalysis", OWNER)):
        with pytest.raises(UnavailableError) as caught:
            await call
        assert caught.value.reason == "SERVER_STOPPING"
    assert metadata_of(await ask("GetOperation", OWNER, name)).state == "running"


async def test_a_caller_of_small_messages(channel: grpc.aio.Channel, keys: dict[str, str]) -> None:
    """Over gRPC alone do answers have a limit."""
    analysis: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
    stub: Any = operations_pb2_grpc.OperationsStub(channel)
    key = ("authorization", f"Bearer {keys[OWNER]}")
    request = v1.AnalyzeRequest(model=MODEL, image=b"picture", prediction=v1.PredictionOptions())
    name = (await analysis.StartAnalysis(request, metadata=(key,))).name
    await stub.WaitOperation(pb.WaitOperationRequest(name=name), metadata=(key,))
    with pytest.raises(grpc.aio.AioRpcError, match="takes messages of 200; raise the limit") as caught:
        await stub.GetOperation(
            pb.GetOperationRequest(name=name), metadata=(key, ("x-whybox-max-response-bytes", "200"))
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("query", "message"),
    [("async=true&timeout=5", "timeout cannot be combined with async"), ("async=maybe", "async must be")],
)
async def test_wrong_options_over_rest(http: httpx.AsyncClient, keys: dict[str, str], query: str, message: str) -> None:
    headers = {"authorization": f"Bearer {keys[OWNER]}", "content-type": "image/png"}
    answer = await http.post(f"/v1/models/{MODEL}:analyze?{query}", content=b"picture", headers=headers)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


async def test_without_a_database(gateway: FakeGateway) -> None:
    app = create_app(gateway, Metrics(), access=Access(None), max_image_bytes=MAX_IMAGE_BYTES, **LIMITS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox") as http:
        path, headers = f"/v1/models/{MODEL}:analyze?async=true", {"content-type": "image/png"}
        answer = await http.post(path, content=b"picture", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (409, "NO_DATABASE")
    assert "WHYBOX_DATABASE" in answer.json()["detail"]
    server = create_server(gateway, Metrics(), access=Access(None), max_message_bytes=MAX_IMAGE_BYTES, **LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="WHYBOX_DATABASE") as caught:
            await stub.StartAnalysis(
                v1.AnalyzeRequest(model=MODEL, image=b"picture", prediction=v1.PredictionOptions())
            )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await server.stop(None)
