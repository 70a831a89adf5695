"""Operations on both transports, over a store on each database, with keys of two callers.

Tests that take `ask` run once for each transport.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as pb
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from server.conftest import LIMITS, MAX_IMAGE_BYTES, MODEL, FakeGateway
from studying import UtcClock
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox.v1.errors import FailedPreconditionError, error_for, error_from_status
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFile, Scope
from whybox_server.monitoring.metrics import Metrics
from whybox_server.operations import rest, rpc
from whybox_server.operations.core import Limits, Operations
from whybox_server.operations.openapi import described
from whybox_server.operations.requests import Requests, requests_in
from whybox_server.operations.store import OperationStore
from whybox_server.rest import create_app
from whybox_server.rpc.service import create_server

OWNER, OTHER, PREDICTS = "ada", "bob", "cy"


@pytest.fixture
def clock() -> UtcClock:
    return UtcClock()


@pytest.fixture
def gateway() -> FakeGateway:
    """Nothing of its answer may succeed later: an operation is done with it."""
    gateway = FakeGateway()
    gateway.answer.explanations[1].status.CopyFrom(FailedPreconditionError("No gradients.").to_status())
    return gateway


@pytest.fixture
def limits() -> Limits:
    return Limits(hours=24, timeout=300, running=2, stored=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "whybox.db.operations"


@pytest.fixture
def requests(folder: Path) -> Iterator[Requests]:
    with requests_in(folder) as requests:
        yield requests


@pytest.fixture
def store(engine: AsyncEngine) -> OperationStore:
    return OperationStore(engine)


@pytest.fixture
async def operations(
    store: OperationStore, requests: Requests, gateway: FakeGateway, limits: Limits, clock: UtcClock
) -> AsyncIterator[Operations]:
    operations = Operations(store, requests, gateway, limits, clock)
    async with operations.running():
        yield operations


@pytest.fixture
def keys(tmp_path: Path, clock: UtcClock) -> dict[str, str]:
    file = KeyFile(tmp_path / "keys.json")
    scopes = {OWNER: Scope.ANALYZE, OTHER: Scope.ANALYZE, PREDICTS: Scope.PREDICT}
    return {name: file.add(name, [scope], now=clock())[1] for name, scope in scopes.items()}


@pytest.fixture
def access(tmp_path: Path, keys: dict[str, str], clock: UtcClock) -> Access:  # noqa: ARG001 (in the file)
    return Access(tmp_path / "keys.json", clock)


@pytest.fixture
def app(operations: Operations, access: Access, gateway: FakeGateway, metrics: Metrics) -> Starlette:
    return create_app(
        gateway,
        metrics,
        access=access,
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=rest.routes(operations, **LIMITS),
        described=(described(),),
        start=operations.start,
        **LIMITS,
    )


@pytest.fixture
async def grpc_address(
    operations: Operations, access: Access, gateway: FakeGateway, metrics: Metrics
) -> AsyncIterator[str]:
    server = create_server(
        gateway,
        metrics,
        access=access,
        max_message_bytes=MAX_IMAGE_BYTES,
        services=(rpc.service(operations),),
        start=operations.start,
        **LIMITS,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


Ask = Callable[..., Coroutine[Any, Any, Any]]
"""`await ask(method, who, name="", **fields)`: the message of the answer; raises the error of the answer."""


@pytest.fixture(params=["grpc", "rest"])
async def ask(
    request: pytest.FixtureRequest, http: httpx.AsyncClient, channel: grpc.aio.Channel, keys: dict[str, str]
) -> Ask:
    analysis: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
    stub: Any = operations_pb2_grpc.OperationsStub(channel)

    async def over_grpc(method: str, who: str, name: str = "", **fields: Any) -> Message:
        if method == "StartAnalysis":
            send, sent = (
                analysis.StartAnalysis,
                v1.AnalyzeRequest(model=MODEL, image=b"picture", prediction=v1.PredictionOptions()),
            )
        else:
            send = getattr(stub, method)
            if "timeout" in fields:
                fields["timeout"] = Duration(seconds=fields["timeout"])
            sent = getattr(pb, f"{method}Request")(**({"name": name} if name else {}), **fields)
        try:
            answer: Message = await send(sent, metadata=(("authorization", f"Bearer {keys[who]}"),))
        except grpc.aio.AioRpcError as error:
            details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            raise error_from_status(status_pb2.Status.FromString(details)) from None
        return answer

    async def over_rest(method: str, who: str, name: str = "", **fields: Any) -> Message:
        headers = {"authorization": f"Bearer {keys[who]}"}
        verb, path, kind = {
            "StartAnalysis": ("POST", f"models/{MODEL}:analyze", pb.Operation),
            "ListOperations": ("GET", "operations", pb.ListOperationsResponse),
            "GetOperation": ("GET", name, pb.Operation),
            "WaitOperation": ("POST", f"{name}:wait", pb.Operation),
            "CancelOperation": ("POST", f"{name}:cancel", Empty),
            "DeleteOperation": ("DELETE", name, Empty),
        }[method]
        content: dict[str, Any] = {"params": fields}
        if method == "StartAnalysis":
            content = {"params": {"async": "true"}, "content": b"picture"}
            headers["content-type"] = "image/png"
        response = await http.request(verb, f"/v1/{path}", headers=headers, **content)
        body = response.json()
        if not response.is_success:
            errors = body.get("errors", [{}])
            kind_of_error = error_for(code_pb2.Code.Value(body["code"]), body["reason"])
            raise kind_of_error(body["detail"], reason=body["reason"], field=errors[0].get("field"))
        if method == "StartAnalysis":
            assert (response.status_code, response.headers["location"]) == (202, f"/v1/{body['name']}")
        found: Message = json_format.ParseDict(body, kind())
        return found

    return over_grpc if request.param == "grpc" else over_rest


def metadata_of(operation: pb.Operation) -> v1.AnalysisMetadata:
    told = v1.AnalysisMetadata()
    assert operation.metadata.Unpack(told)
    return told


def response_of(operation: pb.Operation) -> v1.AnalyzeResponse:
    told = v1.AnalyzeResponse()
    assert operation.response.Unpack(told)
    return told
