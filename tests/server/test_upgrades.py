"""Upgrades of the whole server process, with backends that do as a test tells them in the place of TorchServe."""

import asyncio
import contextlib
import json
import os
import signal
import zipfile
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import json_format
from typer.testing import CliRunner

from messages import message
from server.backends import Asked, FakeBackend
from server.waiting import until
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox_server.cli import serving as serving_module
from whybox_server.cli.app import app
from whybox_server.cli.notes import Notes, ReloadError, reload
from whybox_server.cli.serving import Addresses, ServeError, serve_until_stopped
from whybox_server.settings import Settings
from whybox_server.torchserve.backend import TorchServeError

STATES = {state: {"m": {"1": dict.fromkeys(("predict", "analyze"), state)}} for state in ("ready", "starting")}


class Launched(FakeBackend):
    """One TorchServe.

    Attributes:
        models: What it was launched with.
        settings: Likewise.
        answering: Work is held back until this is set.
        runs: Whether it is between start and stop.
        failing: Set to the error with which it ends.
    """

    def __init__(self, archives, settings) -> None:
        super().__init__()
        self.models = [f"{model.name} {model.version}" for model in archives.values()]
        self.settings = settings
        self.answering = asyncio.Event()
        self.answering.set()
        self.runs = False
        self.failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def drained(self, _: float) -> None:
        self.states = STATES["starting"]

    @contextlib.asynccontextmanager
    async def running(self):
        self.runs = True
        try:
            async with asyncio.TaskGroup() as tasks:
                failing = tasks.create_task(self._fail())
                yield
                failing.cancel()
        except* TorchServeError as group:
            raise group.exceptions[0] from None
        finally:
            self.runs = False

    async def _fail(self) -> None:
        await asyncio.shield(self.failing)

    async def outcome(self, asked: Asked) -> v1.WorkResult:
        assert self.runs
        await self.answering.wait()
        assert self.runs
        answer = v1.AnalyzeResponse()
        answer.prediction.classes.add(label=asked.version)
        return v1.WorkResult(response=answer, final=True)


@pytest.fixture
def launched(monkeypatch):
    """Every TorchServe that was launched; `state` is that of the pools of the next ones."""

    class Launcher(list[Launched]):
        state = "ready"

    launched = Launcher()

    def launch(archives, settings, _):
        launched.append(Launched(archives, settings))
        launched[-1].states = STATES[launched.state]
        return launched[-1]

    monkeypatch.setattr(serving_module, "Backend", launch)
    return launched


def pack(store: Path, version: str) -> Path:
    path = store / f"m-{version}.mar"
    with zipfile.ZipFile(path, "w") as archive:
        model = v1.Model(name="m", version=version, num_classes=10)
        archive.writestr("manifest.json", json_format.MessageToJson(model))
    return path


@pytest.fixture
def settings(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    pack(store, "1.0")
    return Settings(model_store=store, log_dir=tmp_path / "logs", rest_port=0, grpc_port=0)


@contextlib.asynccontextmanager
async def serving(settings):
    """A server in this process; its addresses once it is ready."""
    listening: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    ready = asyncio.Event()
    task = asyncio.create_task(serve_until_stopped(settings, listening.set_result, lambda _: ready.set()))
    try:
        await until(lambda: ready.is_set() or task.done())
        if task.done():
            await task
        yield listening.result()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
    finally:
        task.cancel()
        await asyncio.wait([task])


def reloading(settings) -> "asyncio.Future[int]":
    """`whybox-server reload`, in a thread."""
    return asyncio.ensure_future(asyncio.to_thread(reload, settings.log_dir))


async def over_rest(addresses):
    async with httpx.AsyncClient(base_url=addresses.rest) as client:
        answer = await client.post("/v1/models/m:predict", content=b"picture", headers={"content-type": "image/png"})
        return answer.raise_for_status().json()["version"]


async def over_grpc(addresses):
    async with grpc.aio.insecure_channel(addresses.grpc.removeprefix("grpc://")) as channel:
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
        return (await stub.Analyze(message(v1.AnalyzeRequest, model="m", image=b"picture", prediction={}))).version


async def streamed(addresses):
    async with httpx.AsyncClient(base_url=addresses.rest) as client:
        headers = {"content-type": "application/json", "accept": "application/x-ndjson"}
        content = json.dumps({"image": "AAAA", "prediction": {}}).encode()
        answer = await client.post("/v1/models/m:analyze", content=content, headers=headers)
        return json.loads(answer.raise_for_status().text.splitlines()[-1])["version"]


CALLS = pytest.mark.parametrize("call", [over_rest, over_grpc, streamed])


@CALLS
async def test_calls_in_flight_end_on_the_old_one(launched, settings, call):
    async with serving(settings) as addresses:
        [old] = launched
        old.answering.clear()
        calling = asyncio.create_task(call(addresses))
        await until(lambda: old.asked)
        pack(settings.model_store, "1.1")
        assert await reloading(settings) == os.getpid()
        [_, new] = launched
        assert (old.models, new.models) == (["m 1.0"], ["m 1.0", "m 1.1"])
        assert await call(addresses) == "1.1"
        # Two write no log together.
        assert old.settings.log_dir != new.settings.log_dir
        assert old.runs
        assert not calling.done()
        old.answering.set()
        assert await calling == "1.0"
        await until(lambda: not old.runs)
        assert new.runs
        # The third takes the place of the first, and an old version may go.
        (settings.model_store / "m-1.0.mar").unlink()
        await reloading(settings)
        assert launched[2].models == ["m 1.1"]
        assert launched[2].settings.log_dir == old.settings.log_dir == settings.log_dir
        assert await call(addresses) == "1.1"
    assert [backend.runs for backend in launched] == [False] * 3
    assert not list(settings.log_dir.glob("*.json"))


async def test_an_upload_that_began_before_ends_on_the_old_one(launched, settings):
    async with serving(settings) as addresses, httpx.AsyncClient(base_url=addresses.rest) as client:
        began, rest = asyncio.Event(), asyncio.Event()

        async def picture():
            yield b"pic"
            began.set()
            await rest.wait()
            yield b"ture"

        headers = {"content-type": "image/png"}
        calling = asyncio.create_task(client.post("/v1/models/m:predict", content=picture(), headers=headers))
        await began.wait()
        # The handler runs: other calls are answered after it began.
        await over_rest(addresses)
        pack(settings.model_store, "1.1")
        (settings.model_store / "m-1.0.mar").unlink()
        await reloading(settings)
        assert await over_rest(addresses) == "1.1"
        assert launched[0].runs
        rest.set()
        assert (await calling).json()["version"] == "1.0"
        await until(lambda: not launched[0].runs)


async def test_it_stays_ready_while_the_new_one_starts(launched, settings):
    async with serving(settings) as addresses, httpx.AsyncClient(base_url=addresses.rest) as client:
        launched.state = "starting"
        done = reloading(settings)
        await until(lambda: len(launched) == 2 and launched[1].runs)
        assert (await client.get("/readyz")).status_code == 200
        assert await over_grpc(addresses) == "1.0"
        assert not done.done()
        launched[1].states = STATES["ready"]
        await done
        assert (await client.get("/readyz")).status_code == 200
        assert launched[1].asked == []
        await until(lambda: not launched[0].runs)


async def test_what_fails_leaves_the_old_one(launched, settings, caplog):
    async with serving(settings) as addresses:
        broken = settings.model_store / "m-1.1.mar"
        broken.write_bytes(b"")
        with pytest.raises(ReloadError, match=r"goes on with what it served before: .*m-1\.1\.mar was not packed"):
            await reloading(settings)
        assert len(launched) == 1
        pack(settings.model_store, "1.1")
        launched.state = "starting"
        done = reloading(settings)
        await until(lambda: len(launched) == 2 and launched[1].runs)
        launched[1].failing.set_exception(TorchServeError("TorchServe failed 3 times in a row: no memory"))
        with pytest.raises(ReloadError, match="goes on with what it served before: TorchServe failed 3 times"):
            await done
        assert "failed, and what was served before is served on: TorchServe failed 3 times" in caplog.text
        await until(lambda: not launched[1].runs)
        assert await over_rest(addresses) == await over_grpc(addresses) == "1.0"
        # Mended, the next one succeeds.
        launched.state = "ready"
        await reloading(settings)
        assert await over_rest(addresses) == await over_grpc(addresses) == "1.1"


async def test_signals_during_an_upgrade_make_one_more(launched, settings):
    async with serving(settings):
        launched.state = "starting"
        first = reloading(settings)
        await until(lambda: len(launched) == 2)
        others = [reloading(settings) for _ in range(3)]
        await asyncio.sleep(0.3)
        assert len(launched) == 2
        launched.state = "ready"
        launched[1].states = STATES["ready"]
        await asyncio.gather(first, *others)
        await until(lambda: not launched[1].runs)
        assert len(launched) == 3


async def test_a_stop_during_an_upgrade_ends_both(launched, settings):
    async with serving(settings):
        launched.state = "starting"
        done = reloading(settings)
        await until(lambda: len(launched) == 2 and launched[1].runs)
    assert [backend.runs for backend in launched] == [False, False]
    # The process of this test lives on, so that the command waits: in a real server it would have ended.
    Notes(settings.log_dir).write()
    notes = json.loads((settings.log_dir / "whybox-server.json").read_text())
    (settings.log_dir / "whybox-server.json").write_text(json.dumps(notes | {"created": 0.0}))
    with pytest.raises(ReloadError, match="ended before it was reloaded"):
        await done


@pytest.mark.usefixtures("launched")
async def test_weights_from_a_file_are_read_anew(settings, tmp_path):
    pack(settings.model_store, "1.1")
    traffic = tmp_path / "traffic"
    traffic.write_text("m:1.0=1")
    async with serving(settings.model_copy(update={"traffic": f"@{traffic}"})) as addresses:
        assert {await over_rest(addresses), await over_grpc(addresses)} == {"1.0"}
        traffic.write_text("m:1.1=1")
        await reloading(settings)
        assert {await over_rest(addresses), await over_grpc(addresses)} == {"1.1"}
        traffic.write_text("m:1.2=1")
        with pytest.raises(ReloadError, match=r"no version '1\.2' of m here; served: 1\.1, 1\.0"):
            await reloading(settings)
        assert {await over_rest(addresses), await over_grpc(addresses)} == {"1.1"}


@pytest.mark.parametrize(("traffic", "told"), [("n:1=1", "there is no model 'n'"), ("m:1.0=0", "is no number above 0")])
async def test_wrong_weights_are_refused_at_the_start(launched, settings, traffic, told):
    with pytest.raises(ServeError, match=told):
        async with serving(settings.model_copy(update={"traffic": traffic})):
            pass
    assert launched == []


@pytest.mark.parametrize("noted", ["", "{", '{"pid": 1}', '{"pid": 4194305, "created": 0.0}', "this process, earlier"])
def test_a_server_that_is_not_there(tmp_path, noted):
    if noted == "this process, earlier":
        noted = json.dumps({"pid": os.getpid(), "created": 0.0})
    if noted:
        (tmp_path / "whybox-server.json").write_text(noted)
    result = CliRunner().invoke(app, ["reload", "--log-dir", str(tmp_path)], env={"COLUMNS": "400"})
    assert result.exit_code == 1
    assert f"no server runs with its logs in {tmp_path}; give the --log-dir of the server" in result.output


def test_the_file_of_another_server_stays(tmp_path):
    notes = Notes(tmp_path)
    notes.write()
    path = tmp_path / "whybox-server.json"
    other = json.dumps(json.loads(path.read_text()) | {"pid": 1})
    path.write_text(other)
    notes.remove()
    assert path.read_text() == other
