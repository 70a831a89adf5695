"""The whole server process, with a backend that answers at once in the place of TorchServe."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certificates import Authority
from messages import message
from server.backends import Asked, FakeBackend
from server.waiting import until
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox_server.access.keys import KeyFile, Scope, utc_now
from whybox_server.cli import serving as serve_module
from whybox_server.cli.serving import Addresses, ServeError, serve_until_stopped
from whybox_server.settings import Settings
from whybox_server.torchserve.backend import TorchServeError
from whybox_server.validation.archives import ArchiveError
from whybox_server.validation.explanations import MAX_BASELINE_BYTES, MAX_EXPLANATIONS

OCCLUSION = v1.Method(name="occlusion", options=["baseline"], default_baseline="grey")
FMN = v1.Attack(name="fmn", norms=["linf"], evaluations="gradient")
MODEL = v1.Model(
    name="m",
    version="1",
    num_classes=10,
    norms=["linf"],
    methods=[OCCLUSION],
    attacks=[FMN],
    default_attack="fmn",
)


EVERYWHERE = "0.0.0.0"  # noqa: S104 (what is bound there needs keys and TLS)


class Serving(FakeBackend):
    """The pools of one server.

    Attributes:
        answering: Work is held back until this is set.
        waiting: Number of units of work that are held back.
        runs: Whether it is between start and stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()
        self.answering.set()
        self.waiting = 0
        self.runs = False

    async def drained(self, timeout: float) -> None:
        self.states = {"m": {"1": {"predict": "stopping", "analyze": "stopping"}}}
        with contextlib.suppress(TimeoutError):
            await until(lambda: not self.waiting, timeout)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.runs = True
        try:
            yield
        finally:
            self.runs = False

    async def outcome(self, asked: Asked) -> v1.WorkResult:
        assert self.runs
        self.waiting += 1
        await self.answering.wait()
        self.waiting -= 1
        maps = [v1.Explanation(method=each.method) for each in asked.work.request.explanations]
        answer = v1.AnalyzeResponse(explanations=maps)
        if asked.work.request.HasField("prediction"):
            answer.prediction.classes.add(index=7)
        return v1.WorkResult(response=answer, final=True)


@pytest.fixture
def backends(monkeypatch):
    """Every backend that a server made."""
    backends: list[Serving] = []

    def make(*_):
        backends.append(Serving())
        return backends[-1]

    monkeypatch.setattr(serve_module, "Backend", make)
    return backends


@pytest.fixture
def settings(tmp_path):
    with zipfile.ZipFile(tmp_path / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(MODEL))
    return Settings(model_store=tmp_path, log_dir=tmp_path / "logs", rest_port=0, grpc_port=0)


@pytest.fixture(autouse=True)
def _no_folder_remains(temporary):
    """With the server, the folder of its spool is gone."""
    yield
    assert list(temporary.iterdir()) == []


class Running:
    """A server in this process, stopped by a signal as it would be from outside."""

    def __init__(self, settings: Settings) -> None:
        self.addresses: Addresses | None = None
        self.ready: list[float] = []
        self.task = asyncio.create_task(serve_until_stopped(settings, self._listen, self.ready.append))

    def _listen(self, addresses: Addresses) -> None:
        self.addresses = addresses

    async def listens(self):
        await until(lambda: self.addresses or self.task.done())
        if self.addresses is None:
            await self.task
        return self

    def stop(self, number=signal.SIGTERM):
        os.kill(os.getpid(), number)

    async def ends(self):
        await asyncio.wait_for(self.task, 10)


def analyze_over_rest(addresses):
    async def call():
        async with httpx.AsyncClient(base_url=addresses.rest) as client:
            answer = await client.post(
                "/v1/models/m:predict", content=b"picture", headers={"content-type": "image/png"}
            )
            return answer.json()["prediction"]["classes"][0]["index"]

    return asyncio.create_task(call())


def ask(addresses, **parts):
    # Receipts bring back the baselines that were sent.
    options = [("grpc.max_receive_message_length", 2**26)]

    async def call():
        async with grpc.aio.insecure_channel(addresses.grpc.removeprefix("grpc://"), options=options) as channel:
            stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
            return await stub.Analyze(message(v1.AnalyzeRequest, model="m", image=b"picture", **parts))

    return asyncio.create_task(call())


def analyze_over_grpc(addresses):
    async def call():
        return (await ask(addresses, prediction={})).prediction.classes[0].index

    return asyncio.create_task(call())


CALLS = pytest.mark.parametrize("call", [analyze_over_rest, analyze_over_grpc])


def is_open(address):
    host, _, port = address.split("://")[1].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_everything(backends, settings, number):
    before = time.monotonic()
    server = await Running(settings).listens()
    assert await analyze_over_rest(server.addresses) == 7
    assert await analyze_over_grpc(server.addresses) == 7
    await until(lambda: server.ready)
    since = time.monotonic() - before
    assert settings.log_dir.is_dir()
    server.stop(number)
    await server.ends()
    assert not is_open(server.addresses.rest)
    assert not is_open(server.addresses.grpc)
    [backend] = backends
    assert not backend.runs
    [seconds] = server.ready
    assert 0 <= seconds <= since


async def test_it_is_ready_when_every_pool_is(backends, settings):
    server = await Running(settings).listens()
    backends[0].states = {"m": {"1": {"predict": "starting", "analyze": "starting"}}}
    async with httpx.AsyncClient(base_url=server.addresses.rest) as client:
        assert (await client.get("/readyz")).status_code == 503
        backends[0].states = {"m": {"1": {"predict": "ready", "analyze": "ready"}}}
        assert (await client.get("/readyz")).status_code == 200
    await until(lambda: server.ready)
    server.stop()
    await server.ends()


async def test_a_signal_before_it_is_ready(backends, settings, monkeypatch):
    monkeypatch.setattr(Serving, "readiness", lambda _: {"m": {"1": {"predict": "starting"}}})
    server = await Running(settings).listens()
    server.stop()
    await server.ends()
    assert server.ready == []
    assert not backends[0].runs


@CALLS
async def test_what_is_in_flight_is_answered_before_the_end(backends, settings, call):
    server = await Running(settings).listens()
    backends[0].answering.clear()
    calling = call(server.addresses)
    await until(lambda: backends[0].waiting == 1)
    server.stop()
    await asyncio.sleep(0.2)
    assert not server.task.done()
    backends[0].answering.set()
    assert await calling == 7
    await server.ends()


@CALLS
async def test_what_does_not_end_in_time_is_given_up(backends, settings, call):
    server = await Running(settings.model_copy(update={"drain_seconds": 1})).listens()
    backends[0].answering.clear()
    calling = call(server.addresses)
    await until(lambda: backends[0].waiting == 1)
    server.stop()
    await server.ends()
    outcomes = await asyncio.gather(calling, return_exceptions=True)
    assert isinstance(outcomes[0], Exception)


async def test_the_picture_of_what_is_given_up_is_gone(backends, settings, spooled, monkeypatch):
    monkeypatch.setattr(serve_module, "folder_in_memory", lambda _: None)
    server = await Running(settings.model_copy(update={"drain_seconds": 0.5})).listens()
    backends[0].answering.clear()
    calling = ask(server.addresses, robustness={})
    await until(lambda: backends[0].waiting == 1)
    assert spooled() == [b"picture"]
    server.stop()
    await server.ends()
    assert spooled() == []
    await asyncio.gather(calling, return_exceptions=True)


async def test_every_map_can_have_the_largest_baseline_however_small_the_pictures(backends, settings):
    server = await Running(settings.model_copy(update={"max_image_bytes": 1024})).listens()
    largest = v1.ExplanationOptions(method="occlusion", baseline_image=bytes(MAX_BASELINE_BYTES))
    answer = await ask(server.addresses, explanations=[largest] * MAX_EXPLANATIONS)
    assert len(answer.explanations) == MAX_EXPLANATIONS
    server.stop()
    await server.ends()
    assert not backends[0].runs


@pytest.mark.parametrize(("what", "option"), [("REST", "rest_port"), ("gRPC", "grpc_port")])
async def test_a_port_that_is_taken(backends, settings, what, option):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServeError) as caught:
            await Running(settings.model_copy(update={option: port})).listens()
    assert f"{what} cannot listen on 127.0.0.1:{port}" in str(caught.value)
    assert f"--{option.replace('_', '-')}" in str(caught.value)
    assert [backend.runs for backend in backends] == [False]


@pytest.mark.parametrize("option", ["rest_port", "grpc_port"])
async def test_two_servers_never_share_a_port(backends, settings, option):
    first = await Running(settings).listens()
    address = first.addresses.rest if option == "rest_port" else first.addresses.grpc
    port = int(address.rpartition(":")[2])
    with pytest.raises(ServeError):
        await Running(settings.model_copy(update={option: port})).listens()
    assert await analyze_over_rest(first.addresses) == await analyze_over_grpc(first.addresses) == 7
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.ends()
    assert [backend.runs for backend in backends] == [False, False]


@pytest.mark.parametrize(("what", "option"), [("REST", "rest_host"), ("gRPC", "grpc_host")])
async def test_an_address_of_another_machine(backends, settings, what, option):
    # Reserved for documentation: no machine has it.
    with pytest.raises(ServeError, match=rf"{what} cannot listen on 192\.0\.2\.1:0: .*WHYBOX_{option.upper()}"):
        await Running(settings.model_copy(update={option: "192.0.2.1", "insecure": True})).listens()
    assert not backends[0].runs


@pytest.mark.parametrize("option", ["rest_host", "grpc_host"])
@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "whybox.example.org", ""])
@pytest.mark.parametrize(
    ("given", "missing", "remedies"),
    [
        ((), "keys and TLS, open to everybody", "WHYBOX_KEY_FILE, and set WHYBOX_TLS_CERTIFICATE"),
        (("tls_certificate", "tls_key"), "keys, open to everybody", "WHYBOX_KEY_FILE;"),
        (("key_file",), "TLS, its keys and pictures readable on the way", "set WHYBOX_TLS_CERTIFICATE and"),
    ],
)
async def test_other_machines_are_served_with_keys_and_tls_alone(
    backends, settings, tmp_path, option, host, given, missing, remedies
):
    exposed = settings.model_copy(update={option: host} | {name: tmp_path / name for name in given})
    transport = {"rest_host": "REST", "grpc_host": "gRPC"}[option]
    told = (
        rf"^{transport} would listen on .* without {missing};.*{remedies}.* 127\.0\.0\.1, behind a proxy .* --insecure"
    )
    with pytest.raises(ServeError, match=told):
        await Running(exposed).listens()
    assert backends == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost"])
async def test_loopback_needs_no_keys(backends, settings, host):
    server = await Running(settings.model_copy(update={"rest_host": host, "grpc_host": host})).listens()
    assert await analyze_over_rest(server.addresses) == await analyze_over_grpc(server.addresses) == 7
    server.stop()
    await server.ends()
    assert len(backends) == 1


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [(None, 0, "there is no such file of keys"), ("{", 0o600, "malformed"), ('{"keys": []}', 0o644, "chmod 600")],
)
async def test_a_file_of_keys_that_cannot_be_used(backends, settings, tmp_path, content, mode, said):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(ServeError, match=said):
        await Running(settings.model_copy(update={"key_file": path})).listens()
    assert backends == []


async def test_a_certificate_that_cannot_be_used(backends, settings, tmp_path):
    files = {"tls_certificate": tmp_path / "server.pem", "tls_key": tmp_path / "server.key"}
    with pytest.raises(ServeError, match=r"WHYBOX_TLS_CERTIFICATE=.*server\.pem cannot be read"):
        await Running(settings.model_copy(update=files)).listens()
    assert backends == []


async def test_with_keys_and_tls_other_machines_are_served(backends, settings, tmp_path):
    """What the process hands to both transports is the one file of keys, and the one certificate."""
    keys = KeyFile(tmp_path / "keys.json")
    _, secret = keys.add("a", [Scope.PREDICT], now=utc_now())
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("server").files
    exposed = {"rest_host": EVERYWHERE, "grpc_host": EVERYWHERE, "key_file": keys.path}
    exposed |= {"tls_certificate": certificate, "tls_key": key}
    server = await Running(settings.model_copy(update=exposed)).listens()
    assert server.addresses.rest.startswith("https://")
    assert server.addresses.grpc.startswith("grpcs://")
    rest = server.addresses.rest.replace(EVERYWHERE, "127.0.0.1")
    context = ssl.create_default_context(cafile=authority.certificate)
    async with httpx.AsyncClient(base_url=rest, verify=context) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})).status_code == 200
    target = server.addresses.grpc.removeprefix("grpcs://").replace(EVERYWHERE, "127.0.0.1")
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    async with grpc.aio.secure_channel(target, credentials) as channel:
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListModels(v1.ListModelsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await stub.ListModels(v1.ListModelsRequest(), metadata=(("authorization", f"Bearer {secret}"),))
    server.stop()
    await server.ends()
    assert len(backends) == 1


async def test_ipv6(backends, settings):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = await Running(settings.model_copy(update={"rest_host": "::1", "grpc_host": "::1"})).listens()
    assert server.addresses.rest.startswith("http://[::1]:")
    assert server.addresses.grpc.startswith("grpc://[::1]:")
    assert await analyze_over_rest(server.addresses) == await analyze_over_grpc(server.addresses) == 7
    server.stop()
    await server.ends()
    assert len(backends) == 1


async def test_how_long_a_rest_connection_stays_open_is_a_setting(backends, settings, monkeypatch):
    configs = []
    serve = uvicorn.Server.serve

    async def noted(server, *args, **options):
        configs.append(server.config)
        await serve(server, *args, **options)

    monkeypatch.setattr(uvicorn.Server, "serve", noted)
    server = await Running(settings.model_copy(update={"rest_keep_alive": 17})).listens()
    assert await analyze_over_rest(server.addresses) == 7
    assert [config.timeout_keep_alive for config in configs] == [17]
    server.stop()
    await server.ends()
    assert len(backends) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_every_address_of_both_families(backends, settings, host):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = await Running(
        settings.model_copy(update={"rest_host": "::", "grpc_host": "::", "insecure": True})
    ).listens()
    here = f"[{host}]" if ":" in host else host
    addresses = Addresses(
        rest=server.addresses.rest.replace("[::]", here), grpc=server.addresses.grpc.replace("[::]", here)
    )
    assert await analyze_over_rest(addresses) == await analyze_over_grpc(addresses) == 7
    server.stop()
    await server.ends()
    assert len(backends) == 1


async def test_a_stop_waits_for_no_stream_without_an_end(backends, settings):
    """A watch ends by itself; gRPC gives what is left, such as reflection, no more than a moment."""
    server = await Running(settings.model_copy(update={"drain_seconds": 3600})).listens()
    async with grpc.aio.insecure_channel(server.addresses.grpc.removeprefix("grpc://")) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest())
        # The types of the package know no asynchronous channel.
        make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
        listed = make_stub(channel).ServerReflectionInfo()
        await listed.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await listed.read()).list_services_response.service
        server.stop()
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await server.ends()
        listed.cancel()
    assert not backends[0].runs


async def test_a_connection_that_is_only_half_a_request_is_not_waited_for(backends, settings, caplog):
    server = await Running(settings.model_copy(update={"drain_seconds": 3600})).listens()
    host, _, port = server.addresses.rest.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\npi"
    )
    assert await analyze_over_rest(server.addresses) == 7
    server.stop()
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"SERVER_STOPPING" in answer
    writer.close()
    await server.ends()
    assert not backends[0].runs
    assert [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []


async def test_logs_that_cannot_be_written(backends, settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServeError, match=r"cannot create the folder .*file/logs.*--log-dir"):
        await Running(settings.model_copy(update={"log_dir": tmp_path / "file" / "logs"})).listens()
    assert backends == []


@pytest.mark.parametrize("name", ["torchserve.log", "torchserve.out"])
async def test_a_log_that_cannot_be_written(backends, settings, name):
    (settings.log_dir / name).mkdir(parents=True)
    with pytest.raises(ServeError, match=rf"cannot write logs in the folder .*{name}.*--log-dir"):
        await Running(settings).listens()
    assert backends == []


async def test_a_torchserve_that_cannot_start_ends_the_server(backends, settings, monkeypatch):
    @contextlib.asynccontextmanager
    async def fails(_):
        yield
        raise TorchServeError("TorchServe failed 3 times in a row: no memory")

    monkeypatch.setattr(Serving, "running", fails)
    server = await Running(settings).listens()
    server.stop()
    with pytest.raises(ServeError, match="failed 3 times in a row: no memory"):
        await server.ends()
    assert len(backends) == 1


async def test_nothing_to_serve(backends, settings, tmp_path):
    with pytest.raises(ArchiveError, match="no packed model"):
        await Running(settings.model_copy(update={"model_store": tmp_path / "other"})).listens()
    assert backends == []


async def test_studies_are_beside_the_models_if_there_is_a_database(backends, settings, tmp_path):
    database = f"sqlite:///{tmp_path}/studies.db"
    server = await Running(settings.model_copy(update={"database": database})).listens()
    async with httpx.AsyncClient(base_url=server.addresses.rest) as client:
        page = await client.get("/studies/none/")
        assert page.status_code == 404
        assert "There is no such page" in page.text
        assert (await client.get("/v1/models")).status_code == 200
        counted = (await client.get("/metrics")).text
        assert 'route="/v1/models"' in counted
        assert "studies" not in counted
    server.stop()
    await server.ends()
    assert not backends[0].runs


async def test_no_studies_without_a_database(backends, settings):
    server = await Running(settings).listens()
    async with httpx.AsyncClient(base_url=server.addresses.rest) as client:
        answer = await client.get("/studies/none/")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    server.stop()
    await server.ends()
    assert not backends[0].runs


@pytest.mark.parametrize("database", ["sqlite:///none/studies.db", "mysql://host/name", "?"])
async def test_a_database_that_cannot_be_used(backends, settings, database):
    with pytest.raises(ServeError, match=r"database.*(make it first|give sqlite:///)"):
        await Running(settings.model_copy(update={"database": database})).listens()
    assert not backends[0].runs


def test_the_serving_process_loads_no_tensors():
    modules = {f"whybox_server.{name}" for name in ("cli.serving", "gateway", "rest", "rpc", "torchserve.backend")}
    code = f"import sys, {', '.join(modules)}; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert modules <= set(loaded)
    unwanted = {"torch", "torchvision", "onnxruntime", "captum", "ts", "whybox_handlers", "sqlalchemy", "jinja2"}
    assert not unwanted & set(loaded)
