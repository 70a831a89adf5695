"""The supervision of a TorchServe that starts, answers and ends as a test tells it to."""

import asyncio
from pathlib import Path

import pytest

from messages import message
from server.torchserve.fake_torchserve import RESULT, FakeTorchServe, answers, babbles, dies, hangs
from server.waiting import until
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.pools import PoolKind
from whybox_server.monitoring.readiness import is_ready
from whybox_server.settings import Settings
from whybox_server.torchserve import backend as backend_module
from whybox_server.torchserve import station as station_module
from whybox_server.torchserve.backend import Backend, TorchServeError
from whybox_server.torchserve.folders import FolderError

MODELS = {name: v1.Model(name=name, version="1") for name in ("a", "b")}
ARCHIVES = {Path(f"{name}-1.mar"): model for name, model in MODELS.items()}
STARTING, READY, RECOVERING, STOPPING = (
    {name: {"1": dict.fromkeys(("predict", "analyze"), state)} for name in MODELS}
    for state in ("starting", "ready", "recovering", "stopping")
)
# No other pause has one of these lengths.
BACKOFF = (0.001, 0.011, 0.021)


class FakeProcess:
    """One start of TorchServe.

    Attributes:
        stopped: Whether it was stopped, as every process must be that was started.
    """

    def __init__(self, address, token):
        self.address = address
        self.stopped = False
        self._token = token
        self._ended = asyncio.Event()

    def token(self):
        return self._token

    def die(self):
        self._ended.set()

    async def wait(self):
        await self._ended.wait()
        return 137

    async def stop(self):
        assert not self.stopped
        self.die()
        await asyncio.sleep(0)
        self.stopped = True


class Launcher:
    """Stands for the class `TorchServeProcess`; every process is another front of the same fake.

    Attributes:
        processes: Every process that was started.
        events: Every pause before a start, in seconds, and "start" for every start, in order.
        plans: For each start to come, what happens instead of a good one.
    """

    def __init__(self, torchserve: FakeTorchServe) -> None:
        self.torchserve = torchserve
        self.processes: list[FakeProcess] = []
        self.events: list[float | str] = []
        self.plans: list[str | Exception | None] = []

    async def start(self, archives, settings):
        assert archives == ARCHIVES
        assert isinstance(settings, Settings)
        self.events.append("start")
        plan = self.plans.pop(0) if self.plans else None
        await asyncio.sleep(0)
        if isinstance(plan, Exception):
            raise plan
        self.torchserve.probes = {"mute": hangs, "babbles": babbles}.get(plan or "", answers)
        begins = plan not in ("ends", "never begins")
        process = FakeProcess(self.torchserve.address, f"token {len(self.processes)}" if begins else None)
        self.processes.append(process)
        if plan == "ends":
            process.die()
        return process


@pytest.fixture
async def torchserve():
    torchserve = FakeTorchServe()
    async with torchserve.running():
        yield torchserve


@pytest.fixture
def launcher(torchserve, monkeypatch):
    launcher = Launcher(torchserve)
    monkeypatch.setattr(backend_module, "TorchServeProcess", launcher)
    monkeypatch.setattr(backend_module, "_BACKOFF_SECONDS", BACKOFF)
    for name in ("_POLL_SECONDS", "_WATCH_SECONDS"):
        monkeypatch.setattr(backend_module, name, 0.01)
    for name in ("_PAUSE_READY", "_PAUSE_NOT_READY"):
        monkeypatch.setattr(station_module, name, 0.02)
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds in BACKOFF:
            launcher.events.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return launcher


@pytest.fixture
def restarts():
    return []


@pytest.fixture
def backend(launcher, restarts, tmp_path):
    return Backend(ARCHIVES, Settings(log_dir=tmp_path), lambda: restarts.append(len(launcher.processes)))


@pytest.fixture(autouse=True)
async def _nothing_remains(launcher):
    yield
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if "whybox_server" in repr(task)] == []
    assert all(process.stopped for process in launcher.processes)


def work():
    """Its deadline has passed, so that it is not tried again when its worker has died."""
    return message(v1.Work, deadline={"seconds": 1}, request={"model": "a", "prediction": {}})


async def becomes(backend, state):
    await until(lambda: backend.readiness() == state)


async def test_every_model_has_its_pools(backend, launcher, torchserve):
    assert backend.readiness() == STARTING
    async with backend.running():
        await becomes(backend, READY)
        for name in ("a", "b"):
            for kind in PoolKind:
                assert await backend.pool(MODELS[name], kind).submit(work(), "somebody") == RESULT
    assert [name for name, *_ in torchserve.calls] == [
        f"{name}-1-{end}" for name in MODELS for end in ("predict", "analyze-1")
    ]
    assert {metadata["authorization"] for *_, metadata in torchserve.calls} == {"Bearer token 0"}
    assert len(launcher.processes) == 1
    assert backend.readiness() == RECOVERING
    with pytest.raises(errors.UnavailableError):
        await backend.pool(MODELS["a"], PoolKind.PREDICT).submit(work(), "somebody")


async def stopped(process):
    await until(lambda: process.stopped)


async def test_restart_after_death(backend, launcher, torchserve, restarts, caplog):
    async def called(times):
        await until(lambda: len(torchserve.calls) == times)

    async with backend.running():
        for life in range(3):
            await becomes(backend, READY)
            assert restarts == list(range(1, life + 1))
            process = launcher.processes[-1]
            torchserve.behaviour = hangs
            waiting = asyncio.create_task(backend.pool(MODELS["a"], PoolKind.PREDICT).submit(work(), "somebody"))
            await called(life + 1)
            process.die()
            with pytest.raises(errors.UnavailableError) as caught:
                await waiting
            assert caught.value.reason == "WORKER_DIED"
            await stopped(process)
        await becomes(backend, READY)
        torchserve.behaviour = answers
        assert await backend.pool(MODELS["a"], PoolKind.PREDICT).submit(work(), "somebody") == RESULT
    assert [metadata["authorization"] for *_, metadata in torchserve.calls] == [f"Bearer token {i}" for i in range(4)]
    assert caplog.messages.count("TorchServe ended with status 137") == 3


async def test_a_torchserve_that_ends_as_soon_as_it_is_ready_was_ready(backend, launcher, restarts, monkeypatch):
    # The supervision does not look at the pools before TorchServe has ended.
    monkeypatch.setattr(backend_module, "_WATCH_SECONDS", 3600.0)
    async with backend.running():
        for life in range(4):
            await becomes(backend, READY)
            assert len(launcher.processes) == life + 1
            process = launcher.processes[-1]
            process.die()
            await stopped(process)
        await becomes(backend, READY)
    assert restarts == [1, 2, 3, 4]
    assert [event for event in launcher.events if event != "start"] == [BACKOFF[0]] * 5


async def test_each_failure_in_a_row_waits_longer_and_a_success_ends_the_row(backend, launcher, restarts):
    launcher.plans = [None, "ends", OSError("too many open files"), "ends", "ends", None, "ends"]
    async with backend.running():
        await becomes(backend, READY)
        launcher.events.clear()
        launcher.processes[0].die()
        await until(lambda: len(launcher.processes) == 5)
        await becomes(backend, READY)
        first, second, third = BACKOFF
        assert launcher.events == [first, "start", second, "start", *(third, "start") * 3]
        # A start that failed has made no process, and ended none.
        assert (len(launcher.processes), restarts) == (5, [1, 2, 3, 4])
        launcher.events.clear()
        launcher.processes[4].die()
        await until(lambda: len(launcher.processes) == 7)
        assert launcher.events == [first, "start", second, "start"]
        await becomes(backend, READY)
    assert restarts == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (["ends"] * 3, "java.lang.OutOfMemoryError: Java heap space"),
        ([OSError("disk full")] * 3, "disk full"),
        (["ends", OSError("disk full"), "ends"], "java.lang.OutOfMemoryError: Java heap space"),
        (["mute"] * 3, "java.lang.OutOfMemoryError: Java heap space"),
        (["never begins"] * 3, "java.lang.OutOfMemoryError: Java heap space"),
    ],
)
async def test_three_failures_before_it_was_ever_ready_end_the_server(
    backend, launcher, monkeypatch, tmp_path, plans, said
):
    monkeypatch.setattr(backend_module, "_STUCK_SECONDS", 0.1)
    (tmp_path / "torchserve.out").write_text("java.lang.OutOfMemoryError: Java heap space\n")
    launcher.plans = list(plans)
    with pytest.raises(TorchServeError) as caught:
        async with backend.running():
            await asyncio.wait_for(asyncio.Event().wait(), 30)
    assert str(caught.value) == f"TorchServe failed 3 times in a row: {said}; its logs are in {tmp_path}"
    assert launcher.events.count("start") == 3


async def test_no_place_for_the_sockets_ends_the_server_at_once(backend, launcher):
    launcher.plans = [FolderError("there is no folder")]
    with pytest.raises(TorchServeError, match="there is no folder"):
        async with backend.running():
            await asyncio.wait_for(asyncio.Event().wait(), 30)
    assert launcher.events.count("start") == 1


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("mute", "4 stations gave no answer for 0 s"),
        ("babbles", "4 stations gave no answer for 0 s"),
        ("never begins", "TorchServe did not start within 0 s"),
    ],
)
async def test_one_that_is_stuck_is_replaced(backend, launcher, restarts, monkeypatch, caplog, plan, said):
    monkeypatch.setattr(backend_module, "_STUCK_SECONDS", 0.3)
    launcher.plans = [plan]
    async with backend.running():
        await until(lambda: len(launcher.processes) == 2)
        assert launcher.processes[0].stopped
        assert said in caplog.messages
        await becomes(backend, READY)
    assert restarts == [1]


async def test_dead_workers_alone_are_left_to_torchserve(backend, launcher, torchserve):
    async with backend.running():
        await becomes(backend, READY)
        torchserve.probes = dies
        await becomes(backend, RECOVERING)
        torchserve.probes = answers
        await becomes(backend, READY)
    assert len(launcher.processes) == 1


class BodyError(Exception):
    """Whatever goes wrong while the backend runs."""


@pytest.mark.parametrize("ready", [False, True])
async def test_an_exception_inside_comes_out_as_it_is(backend, ready):
    cause = OSError("address in use")
    error = BodyError()

    async def serve():
        async with backend.running():
            if ready:
                await becomes(backend, READY)
            raise error from cause

    with pytest.raises(BodyError) as caught:
        await serve()
    assert caught.value is error
    assert caught.value.__cause__ is cause


async def test_a_cancelled_body(backend, launcher):
    async def serve():
        async with backend.running():
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await becomes(backend, READY)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert launcher.processes[0].stopped


async def test_a_bug_in_the_supervision_ends_the_server(backend, launcher):
    launcher.plans = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        async with backend.running():
            await asyncio.wait_for(asyncio.Event().wait(), 5)


@pytest.mark.parametrize("plan", [None, "mute", "never begins", OSError("disk full")])
async def test_leaving_at_any_moment(backend, launcher, plan):
    launcher.plans = [plan]
    for turns in range(30):
        async with backend.running():
            for _ in range(turns):
                await asyncio.sleep(0)
    for seconds in (0.01, 0.05, 0.15):
        async with backend.running():
            await asyncio.sleep(seconds)
    assert backend.readiness() in (STARTING, RECOVERING)


async def test_the_proxy_of_the_environment_is_not_for_loopback(backend, launcher, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        # Nothing listens there.
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with backend.running():
        await becomes(backend, READY)
    assert len(launcher.processes) == 1


async def test_a_planned_stop_is_told(backend, torchserve):
    async with backend.running():
        await becomes(backend, READY)
        torchserve.behaviour = hangs
        waiting = asyncio.create_task(backend.pool(MODELS["a"], PoolKind.PREDICT).submit(work(), "somebody"))
        await until(lambda: torchserve.calls)
        await backend.drained(0.01)
        assert backend.readiness() == STOPPING
        assert not is_ready(backend.readiness())
    with pytest.raises(errors.UnavailableError) as caught:
        await waiting
    assert caught.value.reason == "SERVER_STOPPING"
    assert backend.readiness() == STOPPING
