"""How operations run: restarts, what is tried again, how many run at once, and what is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.longrunning.operations_proto_pb2 import Operation

from server.conftest import MODEL, FakeGateway
from server.operations.conftest import metadata_of
from server.waiting import settle, until
from studying import UtcClock
from whybox import v1
from whybox.v1.errors import OverloadedError, QuotaExceededError, UnavailableError, error_from_status
from whybox_server.access.checking import Caller
from whybox_server.operations import core
from whybox_server.operations.core import Limits, Operations
from whybox_server.operations.errors import OperationsError
from whybox_server.operations.requests import requests_in
from whybox_server.operations.store import OperationStore

CALLER = Caller("", ())
EVER = float("inf")
Life = Callable[[FakeGateway], AbstractAsyncContextManager[Operations]]


@pytest.fixture
def limits() -> Limits:
    return Limits(hours=24, timeout=300, running=2, stored=10)


@pytest.fixture
def life(store: OperationStore, folder: Path, limits: Limits, clock: UtcClock) -> Life:
    """`async with life(gateway) as operations`: a server from its start to its stop."""

    @asynccontextmanager
    async def live(gateway: FakeGateway) -> AsyncIterator[Operations]:
        with requests_in(folder) as requests:
            operations = Operations(store, requests, gateway, limits, clock)
            async with operations.running():
                yield operations

    return live


async def begin(operations: Operations, request_id: str = "call-1") -> str:
    request = v1.AnalyzeRequest(model=MODEL, image=b"picture", prediction=v1.PredictionOptions())
    return str((await operations.start(request, request_id=request_id, caller=CALLER)).name)


async def ended(operations: Operations, name: str) -> Operation:
    operation = await operations.wait(name, CALLER, 30, EVER)
    assert operation.done
    return operation


def good() -> v1.AnalyzeResponse:
    return v1.AnalyzeResponse(model=MODEL)


async def test_what_a_stop_left_begins_again(life: Life) -> None:
    first = FakeGateway(waits=True)
    async with life(first) as operations:
        name = await begin(operations)
        await first.started.wait()
    again = FakeGateway(good())
    async with life(again) as operations:
        told = metadata_of(await ended(operations, name))
    assert (told.state, told.runs) == ("succeeded", 2)
    assert (again.request_ids, [each.image for each in again.requests]) == (["call-1"], [b"picture"])


async def test_it_begins_again_once(life: Life, folder: Path) -> None:
    for _ in range(2):
        gateway = FakeGateway(waits=True)
        async with life(gateway) as operations:
            if not list(gateway.requests) and not _left(folder):
                name = await begin(operations)
            await gateway.started.wait()
    last = FakeGateway(good())
    async with life(last) as operations:
        error = error_from_status((await ended(operations, name)).error)
    assert isinstance(error, UnavailableError)
    assert (error.reason, last.requests) == ("OPERATION_INTERRUPTED", [])
    assert "start it again" in error.message
    assert _left(folder) == []


async def test_one_that_never_began_is_not_counted(life: Life, clock: UtcClock) -> None:
    first = FakeGateway(waits=True)
    async with life(first) as operations:
        names = []
        for index in range(3):
            names.append(await begin(operations, f"call-{index}"))
            clock.turn(seconds=1)
        await until(lambda: len(first.requests) == 2)
    for _ in range(2):
        gateway = FakeGateway(waits=True)
        async with life(gateway):
            await gateway.started.wait()
    async with life(FakeGateway(good())) as operations:
        assert metadata_of(await ended(operations, names[2])).state == "succeeded"


async def test_a_picture_that_is_gone(life: Life, folder: Path) -> None:
    gateway = FakeGateway(waits=True)
    async with life(gateway) as operations:
        name = await begin(operations)
        await gateway.started.wait()
    for path in _left(folder):
        path.write_bytes(b"\xff")
    async with life(FakeGateway(good())) as operations:
        error = error_from_status((await ended(operations, name)).error)
    assert error.message == "the server has lost the picture; start the operation again"


async def test_pictures_of_no_operation_are_removed(life: Life, folder: Path) -> None:
    async with life(FakeGateway()):
        (folder / "left").write_bytes(b"picture")
    async with life(FakeGateway()):
        assert _left(folder) == []


async def test_a_folder_is_of_one_server(life: Life, folder: Path) -> None:
    async with life(FakeGateway()):
        with pytest.raises(OperationsError, match=r"another server .* WHYBOX_OPERATION_DIR"), requests_in(folder):
            pass


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperationsError, match="cannot be used"), requests_in(tmp_path / "file" / "folder"):
        pass


async def test_servers_with_one_database_leave_each_others_alone(
    life: Life, store: OperationStore, tmp_path: Path, limits: Limits, clock: UtcClock
) -> None:
    mine, theirs = FakeGateway(waits=True), FakeGateway(good())
    async with life(mine) as operations:
        name = await begin(operations)
        await mine.started.wait()
        with requests_in(tmp_path / "other") as requests:
            other = Operations(store, requests, theirs, limits, clock)
            async with other.running():
                assert metadata_of(await other.get(name, CALLER, EVER)).state == "running"
                waiting = asyncio.create_task(ended(other, name))
                await settle()
                await operations.cancel(name, CALLER)
                assert metadata_of(await waiting).state == "cancelled"
    assert theirs.requests == []


class Passing(FakeGateway):
    """Fails with each of these first, then answers.

    Attributes:
        failures: Errors, and answers.
    """

    failures: tuple[Any, ...] = ()

    async def analyze(self, request: v1.AnalyzeRequest, **given: Any) -> v1.AnalyzeResponse:
        done = len(self.requests)
        await super().analyze(request, **given)
        if done < len(self.failures):
            if isinstance(failure := self.failures[done], Exception):
                raise failure
            return failure  # type: ignore[no-any-return]
        return good()


def missing_now(retry_after: float | None) -> v1.AnalyzeResponse:
    answer = good()
    answer.explanations.add().status.CopyFrom(UnavailableError("m", retry_after=retry_after).to_status())
    return answer


@pytest.mark.parametrize(
    "failure",
    [
        UnavailableError("m", retry_after=0.01),
        OverloadedError("m", retry_after=0.01),
        QuotaExceededError("m", retry_after=0.01),
        missing_now(0.01),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_passes_is_tried_again(life: Life, failure: Any) -> None:
    """As long as the server starts, is full, or has lost a worker."""
    gateway = Passing()
    gateway.failures = (failure, failure)
    async with life(gateway) as operations:
        operation = await ended(operations, await begin(operations))
    assert metadata_of(operation).state == "succeeded"
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("delay", [None, 1000.0])
async def test_what_does_not_pass_in_time_is_kept(life: Life, delay: float | None) -> None:
    gateway = Passing()
    gateway.failures = (missing_now(delay),)
    async with life(gateway) as operations:
        operation = await ended(operations, await begin(operations))
    answer = v1.AnalyzeResponse()
    assert operation.response.Unpack(answer)
    assert answer == missing_now(delay)


async def test_as_many_run_at_once(life: Life) -> None:
    gateway = FakeGateway(waits=True)
    async with life(gateway) as operations:
        names = [await begin(operations, f"call-{index}") for index in range(4)]
        await until(lambda: len(gateway.requests) == 2)
        states = [metadata_of(await operations.get(name, CALLER, EVER)).state for name in names]
        assert states == ["running", "running", "waiting", "waiting"]
        # The next in order takes the place of one that ends.
        await operations.delete(names[0], CALLER)
        await until(lambda: len(gateway.requests) == 3)
        assert gateway.request_ids == ["call-0", "call-1", "call-2"]
        # One that waits can be ended too.
        await operations.cancel(names[3], CALLER)
        assert metadata_of(await ended(operations, names[3])).runs == 0


async def test_old_ones_are_removed(
    life: Life, store: OperationStore, folder: Path, clock: UtcClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_EXPIRY_SECONDS", 0.01)
    gateway = FakeGateway(good())
    async with life(gateway) as operations:
        name = (await ended(operations, await begin(operations))).name
        assert await store.answer(name.removeprefix("operations/")) is not None
        gateway.waits = True
        await begin(operations)
        await until(lambda: len(gateway.requests) == 2)
        clock.turn(days=7)
        await until(lambda: gateway.cancelled.is_set() and not _left(folder))
        assert await store.answer(name.removeprefix("operations/")) is None


def _left(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != "server"] if folder.exists() else []
