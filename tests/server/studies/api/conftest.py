"""The API of studies on both transports, over a store on each database, and keys for it.

Tests that take `ask` run once for each transport.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from starlette.applications import Starlette

from server.conftest import LIMITS, MAX_IMAGE_BYTES, FakeGateway
from studying import UtcClock
from whybox import v1
from whybox.v1.errors import WhyboxError, error_for, error_from_status
from whybox.v1.studies_pb2_grpc import StudyServiceStub
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFile, Scope
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rest import create_app
from whybox_server.rpc.service import create_server
from whybox_server.studies.api import rest, rpc
from whybox_server.studies.api.core import StudyApi
from whybox_server.studies.api.results import Results, computed
from whybox_server.studies.state import RawVotes
from whybox_server.studies.store import StudyStore

PAGES = "https://studies.example.org/studies"


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def keys(key_file: KeyFile, clock: UtcClock) -> dict[str, str]:
    """A key for each scope, one that expires in a day, and one that was revoked."""
    secrets = {scope.value: key_file.add(scope.value, [scope], now=clock())[1] for scope in Scope}
    expires = clock() + timedelta(days=1)
    secrets["expiring"] = key_file.add("expiring", [Scope.ADMIN], now=clock(), expires=expires)[1]
    secrets["revoked"] = key_file.add("revoked", [Scope.ADMIN], now=clock())[1]
    key_file.revoke("revoked")
    return secrets


@dataclass
class Computing:
    """Computes results, and counts how often; a test may make it wait or fail."""

    times: int = 0
    before: Callable[[], Any] = lambda: None

    def __call__(self, raw: RawVotes) -> bytes:
        self.times += 1
        self.before()
        return computed(raw)


@pytest.fixture
def computing() -> Computing:
    return Computing()


@pytest.fixture
def access(
    key_file: KeyFile,
    keys: dict[str, str],  # noqa: ARG001 (in the file)
    clock: UtcClock,
) -> Access:
    return Access(key_file.path, clock)


@pytest.fixture
async def api(
    store: StudyStore,
    clock: UtcClock,
    computing: Computing,
) -> AsyncIterator[StudyApi]:
    async with Results.running(store, computing) as results:
        yield StudyApi(store, results, lambda: PAGES, clock)


@pytest.fixture
def app(api: StudyApi, access: Access, gateway: FakeGateway, metrics: Metrics) -> Starlette:
    routes = rest.routes(api, **LIMITS)
    return create_app(
        gateway,
        metrics,
        access=access,
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=routes,
        described=(rest.described(),),
        **LIMITS,
    )


@pytest.fixture
async def grpc_address(api: StudyApi, access: Access, gateway: FakeGateway, metrics: Metrics) -> AsyncIterator[str]:
    server = create_server(
        gateway,
        metrics,
        access=access,
        max_message_bytes=MAX_IMAGE_BYTES,
        services=(rpc.service(api),),
        **LIMITS,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


Ask = Callable[..., Coroutine[Any, Any, Any]]
"""`await ask(method, authorization, study="", **fields)`: the message of the answer; raises the error of the answer."""

_ANSWERS: dict[str, type[Message]] = {
    "ListStudies": v1.ListStudiesResponse,
    "GetStudy": v1.StudyStatus,
    "GetStudyResults": v1.StudyResults,
    "InviteAnnotators": v1.InviteAnnotatorsResponse,
}
METHODS = tuple(_ANSWERS)


@pytest.fixture(params=["grpc", "rest"])
async def ask(request: pytest.FixtureRequest, http: httpx.AsyncClient, channel: grpc.aio.Channel) -> Ask:
    stub: Any = StudyServiceStub(channel)

    async def over_grpc(method: str, authorization: str | None, study: str = "", **fields: Any) -> Message:
        sent = (
            v1.ListStudiesRequest()
            if method == "ListStudies"
            else getattr(v1, f"{method}Request")(study=study, **fields)
        )
        metadata = () if authorization is None else (("authorization", authorization),)
        try:
            answer: Message = await getattr(stub, method)(sent, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            raise error_from_status(status_pb2.Status.FromString(details)) from None
        return answer

    async def over_rest(method: str, authorization: str | None, study: str = "", **fields: Any) -> Message:
        headers = {} if authorization is None else {"Authorization": authorization}
        path = f"/v1/studies/{study}"
        if method == "InviteAnnotators":
            response = await http.post(f"{path}/invitations", headers=headers, json=fields)
        else:
            ends = {"ListStudies": "/v1/studies", "GetStudy": path, "GetStudyResults": f"{path}/results"}
            response = await http.get(ends[method], headers=headers)
        body = response.json()
        if response.is_success:
            assert response.headers["cache-control"] == "no-store"
            if method == "GetStudyResults":
                return v1.StudyResults(study=body["study"], digest=body["digest"], json=response.content)
            return json_format.ParseDict(body, _ANSWERS[method]())
        raise problem(response.status_code, response.headers, body)

    return over_grpc if request.param == "grpc" else over_rest


STATUSES = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 409,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def problem(status: int, headers: httpx.Headers, body: dict[str, Any]) -> WhyboxError:
    """The error of a problem, whose status and headers fit it."""
    assert headers["content-type"] == "application/problem+json"
    assert status == body["status"] == STATUSES[body["code"]]
    assert headers.get("www-authenticate") == ('Bearer realm="whybox"' if status == 401 else None)
    errors = body.get("errors", [{}])
    kind = error_for(code_pb2.Code.Value(body["code"]), body["reason"])
    return kind(body["detail"], reason=body["reason"], field=errors[0].get("field"))
