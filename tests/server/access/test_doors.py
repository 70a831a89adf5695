"""Who gets in where: every route of REST and every method of gRPC, with keys of every scope and without."""

import base64
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.longrunning import operations_proto_pb2
from google.rpc import code_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from server.conftest import LIMITS, MAX_IMAGE_BYTES, MODEL, FakeGateway
from studying import UtcClock
from whybox import v1
from whybox.v1 import analysis_pb2, studies_pb2
from whybox.v1.errors import WhyboxError, error_for, error_from_status
from whybox_server import oip
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFile, Scope, digest
from whybox_server.access.needs import METHODS, PARTS, ROUTES, Door, Need
from whybox_server.gateway import parts
from whybox_server.gateway.pools import PoolKind
from whybox_server.monitoring.metrics import Metrics
from whybox_server.oip import inference_pb2
from whybox_server.operations import serving as operations_serving
from whybox_server.rest import create_app
from whybox_server.rest.middleware import ApiRoute
from whybox_server.rpc import reflection_pb2 as reflection_v1_pb2
from whybox_server.rpc.service import create_server
from whybox_server.settings import Settings
from whybox_server.studies.api.serving import Beside, beside

CLOCK = UtcClock()
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
OPEN = {name for name, need in {**ROUTES, **METHODS}.items() if need is Door.OPEN}


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def keys(key_file: KeyFile) -> dict[str, str]:
    """A key for each scope, named as it is."""
    return {scope.value: key_file.add(scope.value, [scope], now=CLOCK())[1] for scope in Scope}


@pytest.fixture
def access(key_file: KeyFile, keys: dict[str, str]) -> Access:  # noqa: ARG001 (in the file)
    return Access(key_file.path, CLOCK)


@pytest.fixture
async def studies(sqlite_url: str) -> AsyncIterator[Beside]:
    async with beside(sqlite_url, "", **LIMITS) as studies:
        yield studies


@pytest.fixture
async def operations(sqlite_url: str, gateway: FakeGateway) -> AsyncIterator[operations_serving.Beside]:
    async with operations_serving.beside(Settings(database=sqlite_url), gateway) as operations:
        yield operations


@pytest.fixture
def app(
    access: Access, gateway: FakeGateway, metrics: Metrics, studies: Beside, operations: operations_serving.Beside
) -> Starlette:
    """All that a server can have."""
    return create_app(
        gateway,
        metrics,
        access=access,
        max_image_bytes=MAX_IMAGE_BYTES,
        cors_origins=["https://app.example.com"],
        mounts=(*oip.routes(gateway, max_image_bytes=MAX_IMAGE_BYTES, **LIMITS), *operations.routes, *studies.routes),
        described=(oip.described(), operations.described, studies.described),
        **LIMITS,
    )


@pytest.fixture
async def grpc_address(
    access: Access, gateway: FakeGateway, metrics: Metrics, studies: Beside, operations: operations_serving.Beside
) -> AsyncIterator[str]:
    services = (oip.service(gateway), *operations.services, *studies.services)
    server = create_server(
        gateway, metrics, access=access, max_message_bytes=MAX_IMAGE_BYTES, services=services, **LIMITS
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def over_rest(http: httpx.AsyncClient, template: str, headers: dict[str, str]) -> str:
    """The code of the answer: "OK" for what is no problem."""
    names = {"model": MODEL, "version": "1", "audit": "a", "study": "s", "operation": "o", "path": "swagger-ui.css"}
    method = "POST" if ":" in template or template.endswith(("invitations", "infer")) else "GET"
    response = await http.request(method, template.format(**names), headers=headers)
    if template.startswith("/v2"):
        # These tell their errors in a form of their own.
        return {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}.get(response.status_code, "OK")
    if response.headers.get("content-type") != "application/problem+json":
        return "OK"
    return str(response.json()["code"])


def _raw(kind: Any, method: str) -> Any:
    """A call whose messages are bytes, for which the types of the package have no name."""
    return kind(method)


async def over_grpc(channel: grpc.aio.Channel, method: str, headers: dict[str, str]) -> str:
    """The code of the answer to an empty message; "OK" also for a stream that begins."""
    call: Any = _raw(channel.unary_stream, method)(b"", metadata=tuple(headers.items()), timeout=10)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    finally:
        call.cancel()
    return "OK"


def needed(need: Need, scope: Scope) -> bool:
    return not isinstance(need, Scope) or scope.allows(need)


async def test_every_route_is_in_the_table(app: Starlette) -> None:
    assert {getattr(route, "path_format", "") for route in app.routes} == set(ROUTES)
    # What is below a mount needs what the mount needs.
    assert {route.path for route in app.routes if isinstance(route, Mount)} == {"/docs/assets", "/studies"}


async def test_every_method_is_in_the_table(channel: grpc.aio.Channel, keys: dict[str, str]) -> None:
    """Services are those that reflection tells of, methods those of their descriptors."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]), metadata=tuple(bearer(keys["metrics"]).items()))
    [answer] = [answer async for answer in call]
    told = {service.name for service in answer.list_services_response.service}
    files = (
        analysis_pb2,
        operations_proto_pb2,
        inference_pb2,
        studies_pb2,
        health_pb2,
        reflection_pb2,
        reflection_v1_pb2,
    )
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    assert {service.full_name for service in services} == told
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    # Later versions of the health service have a further method, which the server may have too.
    assert methods - {"/grpc.health.v1.Health/List"} == set(METHODS)


def test_every_part_is_in_the_table() -> None:
    workers = {Scope.PREDICT: PoolKind.PREDICT, Scope.ANALYZE: PoolKind.ANALYZE}
    assert {name: workers[scope] for name, scope in PARTS.items()} == {
        name: part.pool for name, part in parts.PARTS.items()
    }
    for part in parts.PARTS.values():
        assert ROUTES[f"/v1/models/{{model}}:{part.action}"] is PARTS[part.name]


@pytest.mark.parametrize("template", ROUTES)
async def test_who_reaches_a_route(http: httpx.AsyncClient, keys: dict[str, str], template: str) -> None:
    need = ROUTES[template]
    assert (await over_rest(http, template, {}) == "UNAUTHENTICATED") is (need is not Door.OPEN)
    assert (await over_rest(http, template, bearer("whybox_other")) == "UNAUTHENTICATED") is (need is not Door.OPEN)
    for scope, key in keys.items():
        code = await over_rest(http, template, bearer(key))
        assert (code not in REFUSED) is needed(need, Scope(scope)), (scope, code)


@pytest.mark.parametrize("method", METHODS)
async def test_who_reaches_a_method(channel: grpc.aio.Channel, keys: dict[str, str], method: str) -> None:
    need = METHODS[method]
    assert (await over_grpc(channel, method, {}) == "UNAUTHENTICATED") is (need is not Door.OPEN)
    assert (await over_grpc(channel, method, bearer("whybox_other")) == "UNAUTHENTICATED") is (need is not Door.OPEN)
    for scope, key in keys.items():
        code = await over_grpc(channel, method, bearer(key))
        assert (code not in REFUSED) is needed(need, Scope(scope)), (scope, code)


def test_what_is_open() -> None:
    assert {
        "/healthz",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
        "/studies/{path}",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    } == OPEN


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/v1/models/m:other", "/docs/", "/healthz/", "/studiesx"])
async def test_what_is_not_there_is_told_to_callers_with_a_key(
    http: httpx.AsyncClient, keys: dict[str, str], path: str
) -> None:
    assert (await http.get(path)).status_code == 401
    assert (await http.get(path, headers=bearer(keys["metrics"]))).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "GET"])
async def test_a_wrong_method_needs_the_key_of_the_route(
    http: httpx.AsyncClient, keys: dict[str, str], method: str
) -> None:
    path = f"/v1/models/{MODEL}:explain"
    answers = [await http.request(method, path, headers=bearer(keys[scope])) for scope in ("predict", "analyze")]
    assert [answer.status_code for answer in answers] == [403, 405]
    assert (await http.request(method, path)).status_code == 401


@pytest.mark.parametrize("method", ["/whybox.v1.AnalysisService/Other", "/other.Service/Method", "/x"])
async def test_a_method_that_is_not_there(channel: grpc.aio.Channel, keys: dict[str, str], method: str) -> None:
    assert await over_grpc(channel, method, {}) == "UNAUTHENTICATED"
    assert await over_grpc(channel, method, bearer(keys["metrics"])) == "UNIMPLEMENTED"


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("method", ["StudyService/ListStudies", "StudyService/InviteAnnotators"])
async def test_a_service_that_is_not_served(
    access: Access, keys: dict[str, str], gateway: FakeGateway, keyed: bool, method: str
) -> None:
    """Without a database there are no studies, which keys would not change."""
    server = create_server(
        gateway, Metrics(), access=access if keyed else Access(None), max_message_bytes=MAX_IMAGE_BYTES, **LIMITS
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        name = f"/whybox.v1.{method}"
        assert await over_grpc(channel, name, {}) == ("UNAUTHENTICATED" if keyed else "UNIMPLEMENTED")
        assert await over_grpc(channel, name, bearer(keys["metrics"])) == "UNIMPLEMENTED"
    await server.stop(None)


@pytest.mark.parametrize("keyed", [True, False])
async def test_what_the_table_forgets_is_refused(
    access: Access, keys: dict[str, str], gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, keyed: bool
) -> None:
    """Also to an admin, and on a server that is open."""

    async def forgotten(_: Request) -> Response:
        raise AssertionError

    monkeypatch.delitem(METHODS, "/whybox.v1.AnalysisService/ListModels")
    access = access if keyed else Access(None)
    app = create_app(
        gateway,
        Metrics(),
        access=access,
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=[ApiRoute("/v1/forgotten", forgotten)],
        **LIMITS,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox") as http:
        assert await over_rest(http, "/v1/forgotten", bearer(keys["admin"])) == "PERMISSION_DENIED"
    server = create_server(gateway, Metrics(), access=access, max_message_bytes=MAX_IMAGE_BYTES, **LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = "/whybox.v1.AnalysisService/ListModels"
        assert await over_grpc(channel, method, bearer(keys["admin"])) == "PERMISSION_DENIED"
    await server.stop(None)


Ask = Callable[..., Any]


@pytest.fixture(params=["Analyze", "StreamAnalysis", "rest", "rest, streamed"])
def ask(request: pytest.FixtureRequest, http: httpx.AsyncClient, channel: grpc.aio.Channel) -> Ask:
    """`await ask(key, parts)`: analyses a picture; raises the error of the answer."""

    async def over_http(key: str, asked: list[str]) -> None:
        accept = {"accept": "application/x-ndjson"} if "," in request.param else {}
        body = {"image": base64.b64encode(b"picture").decode()} | {part: _options(part) for part in asked}
        response = await http.post(f"/v1/models/{MODEL}:analyze", json=body, headers=bearer(key) | accept)
        if not response.is_success:
            body = response.json()
            raise error_for(code_pb2.Code.Value(body["code"]), body["reason"])(body["detail"])

    async def over_stub(key: str, asked: list[str]) -> None:
        message = v1.AnalyzeRequest(model=MODEL, image=b"picture")
        for part in asked:
            if part == "explanations":
                message.explanations.add()
            else:
                getattr(message, part).SetInParent()
        send = getattr(channel, "unary_unary" if request.param == "Analyze" else "unary_stream")(
            f"/whybox.v1.AnalysisService/{request.param}", v1.AnalyzeRequest.SerializeToString
        )
        call = send(message, metadata=tuple(bearer(key).items()))
        try:
            await (call if request.param == "Analyze" else call.read())
        except grpc.aio.AioRpcError as error:
            details: Any = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            raise error_from_status(status_pb2.Status.FromString(details)) from None

    return over_http if "rest" in request.param else over_stub


def _options(part: str) -> Any:
    return [{}] if part == "explanations" else {}


@pytest.mark.parametrize(
    ("asked", "scope"),
    [
        *(([part], scope) for part, scope in PARTS.items()),
        (["prediction", "bias"], Scope.PREDICT),
        (["prediction", "explanations"], Scope.ANALYZE),
        (["bias", "certified"], Scope.ANALYZE),
    ],
    ids=str,
)
async def test_the_parts_of_an_analysis(
    ask: Ask, keys: dict[str, str], gateway: FakeGateway, asked: list[str], scope: Scope
) -> None:
    """Whoever is let in reaches the gateway under the digest of the key."""
    gateway.parts = 1
    let_in = []
    for own in ("predict", "analyze", "admin"):
        if Scope(own).allows(scope):
            await ask(keys[own], asked)
            let_in.append(digest(keys[own]))
        else:
            with pytest.raises(WhyboxError, match=r"allows predict; .* the scope analyze") as caught:
                await ask(keys[own], asked)
            assert caught.value.code_name == "PERMISSION_DENIED"
    assert [caller.key for caller in gateway.callers] == let_in


async def test_predictions_of_the_open_inference_protocol(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, keys: dict[str, str], gateway: FakeGateway
) -> None:
    """They reach the gateway under the digest of the key, and a refusal has the form of the protocol."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(b"picture").decode()]}
    path, body = f"/v2/models/{MODEL}/infer", {"inputs": [tensor]}
    assert (await http.post(path, json=body, headers=bearer(keys["predict"]))).status_code == 200
    request = inference_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[b"\7\0\0\0picture"])
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    send: Any = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer", inference_pb2.ModelInferRequest.SerializeToString
    )
    await send(request, metadata=tuple(bearer(keys["analyze"]).items()))
    assert [caller.key for caller in gateway.callers] == [digest(keys["predict"]), digest(keys["analyze"])]
    for headers, status in ((bearer(keys["metrics"]), 403), ({}, 401)):
        refused = await http.post(path, json=body, headers=headers)
        assert (refused.status_code, list(refused.json())) == (status, ["error"])
    assert refused.headers["www-authenticate"] == 'Bearer realm="whybox"'
    assert len(gateway.callers) == 2


async def test_without_keys_all_but_studies_is_open(gateway: FakeGateway, metrics: Metrics, studies: Beside) -> None:
    app = create_app(
        gateway,
        metrics,
        access=Access(None),
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=(*oip.routes(gateway, max_image_bytes=MAX_IMAGE_BYTES, **LIMITS), *studies.routes),
        **LIMITS,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox") as http:
        refused = {template for template in ROUTES if await over_rest(http, template, {}) in REFUSED}
        await http.post(f"/v1/models/{MODEL}:predict", content=b"picture", headers={"content-type": "image/png"})
    assert refused == {template for template in ROUTES if template.startswith("/v1/studies")}
    assert [caller.key for caller in gateway.callers] == [""]


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.json", "/metrics", "/v1/models"]
)
async def test_a_browser_reads_with_the_key_as_password(
    http: httpx.AsyncClient, keys: dict[str, str], path: str
) -> None:
    first = await http.get(path, headers=BROWSER)
    assert first.status_code == 401
    assert first.headers["www-authenticate"] == 'Basic realm="whybox", charset="UTF-8"'
    for name in ("", "ada"):
        answer = await http.get(path, headers=BROWSER | basic(f"{name}:{keys['admin']}"))
        assert (answer.status_code, "www-authenticate" in answer.headers) == (200, False)
    # Programs are told of the one way that works everywhere.
    assert (await http.get(path)).headers["www-authenticate"] == 'Bearer realm="whybox"'


@pytest.mark.parametrize("sent", [":", "ada:", "ada:whybox_other", "{admin}:", "{admin}", ":{admin} ", "é:é"])
async def test_other_passwords(http: httpx.AsyncClient, keys: dict[str, str], sent: str) -> None:
    answer = await http.get("/docs", headers=basic(sent.format(**keys)))
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("sent", ["Basic", "Basic !", "Basic Og", "Basic " + "QQ" * 400, "Basic /w=="])
async def test_malformed_passwords(http: httpx.AsyncClient, sent: str) -> None:
    assert (await http.get("/docs", headers={"authorization": sent})).status_code == 401


async def test_a_browser_changes_nothing_with_a_password(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    """It would send the password along with the form of a stranger's page."""
    for path in (f"/v1/models/{MODEL}:predict", "/v1/studies/s/invitations"):
        answer = await http.post(path, headers=BROWSER | basic(f":{keys['admin']}"))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="whybox"')


async def test_over_grpc_there_is_no_password(channel: grpc.aio.Channel, keys: dict[str, str]) -> None:
    method = "/whybox.v1.AnalysisService/ListModels"
    assert await over_grpc(channel, method, basic(f":{keys['admin']}")) == "UNAUTHENTICATED"


async def test_scripts_of_other_pages_can_read_the_refusal(http: httpx.AsyncClient) -> None:
    origin = {"origin": "https://app.example.com"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = await http.options(f"/v1/models/{MODEL}:predict", headers=origin | asked)
    assert preflight.status_code == 200
    answer = await http.post(f"/v1/models/{MODEL}:predict", headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, origin["origin"])
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]


async def test_no_picture_is_read_over_rest(http: httpx.AsyncClient, keys: dict[str, str]) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"picture"

    refused = (("predict", "", 401), ("predict", keys["metrics"], 403), ("explain", keys["predict"], 403))
    for action, key, status in refused:
        headers = bearer(key) | {"content-type": "image/png"}
        response = await http.post(f"/v1/models/{MODEL}:{action}", content=body(), headers=headers)
        assert (response.status_code, read) == (status, [])


async def test_no_picture_is_read_over_grpc(channel: grpc.aio.Channel, keys: dict[str, str]) -> None:
    """A call is refused before it has sent its message."""
    method = "/whybox.v1.AnalysisService/Analyze"
    for key, code in (("", "UNAUTHENTICATED"), (keys["metrics"], "PERMISSION_DENIED")):
        call = _raw(channel.stream_unary, method)(metadata=tuple(bearer(key).items()), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code().name == code


@pytest.fixture
def refusals(samples: Callable[[str], dict[str, float]]) -> Iterator[dict[tuple[str, ...], float]]:
    """What a test adds to the refused calls, by transport, route and code."""
    found: dict[tuple[str, ...], float] = {}
    yield found
    counted = {}
    for labels, value in samples("whybox_requests_total").items():
        named = dict(label.split("=", 1) for label in labels.strip("{}").replace('"', "").split(","))
        counted[named["transport"], named["route"], named["code"]] = value
    assert counted == found


async def test_refusals_are_counted(
    http: httpx.AsyncClient,
    channel: grpc.aio.Channel,
    keys: dict[str, str],
    refusals: dict[tuple[str, ...], float],
) -> None:
    predict = f"/v1/models/{MODEL}:predict"
    await http.post(predict)
    await http.post(predict, headers=bearer(keys["metrics"]))
    await http.get("/v1/other")
    await over_grpc(channel, "/whybox.v1.AnalysisService/GetModel", {})
    await over_grpc(channel, "/whybox.v1.AnalysisService/GetModel", bearer(keys["metrics"]))
    await over_grpc(channel, "/other.Service/Method", {})
    refusals |= {
        ("rest", "/v1/models/{model}:predict", "UNAUTHENTICATED"): 1,
        ("rest", "/v1/models/{model}:predict", "PERMISSION_DENIED"): 1,
        ("rest", "unknown", "UNAUTHENTICATED"): 1,
        ("grpc", "GetModel", "UNAUTHENTICATED"): 1,
        ("grpc", "GetModel", "PERMISSION_DENIED"): 1,
        ("grpc", "unknown", "UNAUTHENTICATED"): 1,
    }


async def test_keys_stand_in_no_log_and_no_metric(
    http: httpx.AsyncClient,
    channel: grpc.aio.Channel,
    keys: dict[str, str],
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for key in keys.values():
        for template in ROUTES:
            await over_rest(http, template, bearer(key))
        for method in METHODS:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await over_grpc(channel, method, bearer(key))
    told = caplog.text + metrics.render()[0].decode()
    assert not [key for key in keys.values() if key in told]


@pytest.mark.parametrize("keyed", [True, False])
async def test_the_document_tells_the_scope_of_each_operation(
    access: Access, keys: dict[str, str], gateway: FakeGateway, studies: Beside, keyed: bool
) -> None:
    app = create_app(
        gateway,
        Metrics(),
        access=access if keyed else Access(None),
        max_image_bytes=MAX_IMAGE_BYTES,
        mounts=(*oip.routes(gateway, max_image_bytes=MAX_IMAGE_BYTES, **LIMITS), *studies.routes),
        described=(oip.described(), studies.described),
        **LIMITS,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox") as http:
        paths = (await http.get("/openapi.json", headers=bearer(keys["admin"]))).json()["paths"]
    told = {
        path: [scope for named in operation.get("security", []) for scope in named["Key"]]
        for path, operations in paths.items()
        for operation in operations.values()
    }
    needs = {path: ROUTES[path] for path in told}
    assert told == {
        path: [need.value] if need is not Door.OPEN and (keyed or path.startswith("/v1/studies")) else []
        for path, need in needs.items()
    }
    for path, operations in paths.items():
        for operation in operations.values():
            assert ({"401", "403"} <= operation["responses"].keys()) is bool(told[path])
            assert (f"(scope {needs[path]})" in operation["summary"]) is bool(told[path])


async def test_health_is_open(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
