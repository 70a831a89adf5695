"""One station over a TorchServe that answers, hangs, dies or babbles."""

import asyncio
import time
from types import SimpleNamespace

import grpc
import pytest

from messages import message
from presence import present
from server.torchserve.fake_torchserve import RESULT, FakeTorchServe, answers, babbles, dies, hangs
from server.waiting import until
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.queueing.stations import WorkerDiedError
from whybox_server.torchserve import station as station_module
from whybox_server.torchserve.station import Station, StationState

MEMORY = 2**40
# Its deadline has passed, so that nothing waits for another worker.
WORK = message(
    v1.Work,
    request_id="id-1",
    deadline={"seconds": 1},
    request={"model": "m", "image": b"picture", "prediction": {"top_k": 3}},
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name, seconds in {
        "_PROBE_SECONDS": 0.1,
        "_PAUSE_READY": 0.02,
        "_PAUSE_NOT_READY": 0.02,
        "_GUARD_SECONDS": 0.01,
    }.items():
        monkeypatch.setattr(station_module, name, seconds)


@pytest.fixture
async def torchserve():
    torchserve = FakeTorchServe()
    async with torchserve.running():
        yield torchserve


@pytest.fixture
async def channel(torchserve):
    async with grpc.aio.insecure_channel(torchserve.address) as channel:
        yield channel


@pytest.fixture
def station(channel):
    station = Station("m-predict", 1, 3, MEMORY)
    station.connect(channel, "secret")
    return station


@pytest.fixture
async def ready(station):
    # On a busy machine a probe may take longer than its time here.
    while station.state is not StationState.READY:
        await station._probe()
    return station


@pytest.fixture
async def watched(station):
    watching = asyncio.create_task(station.watch())
    yield station
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def submit(station, *, seconds=None, **changes):
    """Of `WORK`; with `seconds` until its deadline, there is time to try it again."""
    work = v1.Work()
    work.CopyFrom(WORK)
    work.MergeFrom(message(v1.Work, **changes))
    if seconds is not None:
        work.deadline.FromMilliseconds(round(1000 * (time.time() + seconds)))
    return asyncio.create_task(station.do(work))


def state_of(station: Station) -> StationState:
    """For a state that a call changes unseen by mypy."""
    return station.state


async def reaches(station, state):
    await until(lambda: station.state is state)


async def test_work_and_result_travel_whole(ready, torchserve):
    result = await submit(ready)
    [(name, work, metadata)] = torchserve.calls
    assert result == RESULT
    assert name == "m-predict"
    assert work == WORK
    assert (metadata["authorization"], metadata["protocol"]) == ("Bearer secret", "gRPC")


async def test_a_result_that_is_an_error_is_no_death(ready, torchserve):
    failed = v1.WorkResult(status=errors.PictureError("no picture", field="image").to_status())

    async def fails(*_):
        return failed.SerializeToString()

    torchserve.behaviour = fails
    assert await submit(ready) == failed
    assert ready.state is StationState.READY


async def test_starting_ready_recovering_ready(watched, torchserve):
    assert watched.state is StationState.STARTING
    await reaches(watched, StationState.READY)
    for behaviour in (dies, hangs):
        torchserve.probes = behaviour
        await reaches(watched, StationState.RECOVERING)
        torchserve.probes = answers
        await reaches(watched, StationState.READY)


async def test_a_restarted_torchserve_has_another_address_and_token(watched, torchserve):
    await reaches(watched, StationState.READY)
    watched.disconnect()
    assert state_of(watched) is StationState.RECOVERING
    second = FakeTorchServe()
    async with second.running(), grpc.aio.insecure_channel(second.address) as channel:
        watched.connect(channel, "another")
        assert state_of(watched) is StationState.STARTING
        await reaches(watched, StationState.READY)
        assert await submit(watched) == RESULT
        assert second.calls[0][2]["authorization"] == "Bearer another"
        assert {metadata["authorization"] for metadata in second.probed} == {"Bearer another"}
        watched.disconnect()
    assert torchserve.calls == []


async def test_a_pool_that_never_answered_stays_starting(watched, torchserve):
    torchserve.probes = dies
    await until(lambda: len(torchserve.probed) > 3)
    assert watched.state is StationState.STARTING


async def test_since_is_the_last_change(watched, torchserve, monkeypatch):
    seconds = 100.0
    monkeypatch.setattr(station_module, "time", SimpleNamespace(monotonic=lambda: seconds))
    await reaches(watched, StationState.READY)
    assert watched.since == 100
    seconds = 200
    probed = len(torchserve.probed)
    await until(lambda: len(torchserve.probed) > probed + 3)
    assert watched.since == 100
    torchserve.probes = dies
    await reaches(watched, StationState.RECOVERING)
    assert watched.since == 200


async def test_a_station_without_torchserve_is_unavailable():
    station = Station("m-predict", 1, 3, MEMORY)
    station.state = StationState.READY
    with pytest.raises(errors.UnavailableError) as caught:
        await submit(station)
    assert present(caught.value.retry_after) > 0


async def test_what_torchserve_holds_counts(ready, torchserve):
    """A caller that goes away takes nothing out of TorchServe's queue."""
    answer, answer_probe = asyncio.Event(), asyncio.Event()

    async def busy(work, context):
        await (answer if work.HasField("request") else answer_probe).wait()
        return await answers(work, context)

    torchserve.behaviour = torchserve.probes = busy
    waiting = [submit(ready) for _ in range(3)]
    await until(lambda: len(torchserve.calls) == 3)
    for work in waiting:
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert ready.in_flight == 3
    # Silence behind work without a caller is not death.
    probing = asyncio.create_task(ready._probe())
    await asyncio.sleep(0.3)
    assert (ready.state, probing.done(), torchserve.cancelled) == (StationState.READY, False, 0)
    # The probe first: once nothing is in flight, its silence would count.
    answer_probe.set()
    await probing
    answer.set()
    await until(lambda: ready.in_flight == 0)
    assert await asyncio.gather(*(submit(ready) for _ in range(3))) == [RESULT] * 3


async def test_an_idle_pool_without_an_answer_is_lost(ready, torchserve):
    torchserve.probes = hangs
    await ready._probe()
    assert ready.state is StationState.RECOVERING


async def test_a_dead_worker(ready, torchserve):
    torchserve.behaviour = dies
    with pytest.raises(WorkerDiedError, match="that had this request died") as caught:
        await submit(ready)
    assert (caught.value.reason, ready.state) == ("WORKER_DIED", StationState.RECOVERING)
    assert present(caught.value.retry_after) > 0
    assert caught.value.by_itself
    # What TorchServe says is for the log.
    assert "InternalServerException" not in caught.value.message
    torchserve.behaviour = answers
    await ready._probe()
    assert await submit(ready) == RESULT


async def test_the_end_of_torchserve_is_nobodys_fault(watched, torchserve):
    await reaches(watched, StationState.READY)

    async def gone(_work, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "connection refused")

    torchserve.behaviour = gone
    for _ in range(3):
        with pytest.raises(WorkerDiedError, match="died") as caught:
            await submit(watched)
        assert not caught.value.by_itself
        await reaches(watched, StationState.READY)
    torchserve.behaviour = answers
    assert await submit(watched) == RESULT


@pytest.mark.parametrize(
    ("deadlines", "ends"),
    [([0], True), ([3600], False), ([0, 3600], True), ([3600, 0], False)],
    ids=["overdue", "patient", "overdue first", "overdue behind what has more time"],
)
async def test_a_worker_that_hangs_is_ended(ready, torchserve, monkeypatch, deadlines, ends):
    ended = []
    monkeypatch.setattr(ready._processes, "end_silent", lambda: ended.append(1))
    monkeypatch.setattr(station_module, "_HANGS_SECONDS", 0)
    torchserve.behaviour = hangs
    works = []
    for seconds in deadlines:
        works.append(submit(ready, seconds=seconds))
        await until(lambda: len(torchserve.calls) == len(works))
    guarding = asyncio.create_task(ready.guard())
    await (until(lambda: ended) if ends else asyncio.sleep(0.1))
    assert bool(ended) == ends
    for task in (*works, guarding):
        task.cancel()
    await asyncio.gather(*works, guarding, return_exceptions=True)


async def test_late_work_that_waited_for_other_work_gets_its_time(ready, torchserve, monkeypatch):
    """Its deadline passed long ago, but its worker has only just taken it."""
    ended = []
    monkeypatch.setattr(ready._processes, "end_silent", lambda: ended.append(1))
    torchserve.behaviour = hangs
    work = submit(ready)
    await until(lambda: torchserve.calls)
    ready._end_hanging()
    assert not ended
    monkeypatch.setattr(station_module, "_HANGS_SECONDS", -1)
    ready._end_hanging()
    assert ended == [1]
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_a_dead_torchserve():
    torchserve = FakeTorchServe()
    station = Station("m-predict", 1, 3, MEMORY)
    async with torchserve.running():
        channel = grpc.aio.insecure_channel(torchserve.address)
        station.connect(channel, "secret")
        await station._probe()
        torchserve.behaviour = hangs
        work = submit(station)
        await until(lambda: torchserve.calls)
    with pytest.raises(errors.UnavailableError) as caught:
        await work
    assert (caught.value.reason, station.state) == ("WORKER_DIED", StationState.RECOVERING)
    await station._probe()
    assert station.state is StationState.RECOVERING
    await channel.close()


async def test_an_answer_that_cannot_be_read_is_our_bug(watched, torchserve, caplog):
    await reaches(watched, StationState.READY)
    torchserve.behaviour = torchserve.probes = babbles
    with pytest.raises(errors.InternalError, match="cannot be read"):
        await submit(watched)
    probed = len(torchserve.probed)
    # The watch goes on.
    await until(lambda: len(torchserve.probed) > probed + 1)
    assert "m-predict: the answer of a worker cannot be read" in caplog.messages


async def test_a_channel_that_closes_looks_like_a_dead_worker(watched, torchserve, channel):
    """grpc.aio says "cancelled", although neither the caller nor the watch was cancelled."""
    await reaches(watched, StationState.READY)
    torchserve.behaviour = torchserve.probes = hangs
    work, probed = submit(watched), len(torchserve.probed)
    await until(lambda: torchserve.calls and len(torchserve.probed) > probed)
    watched.disconnect()
    await channel.close()
    with pytest.raises(errors.UnavailableError) as caught:
        await work
    assert caught.value.reason == "WORKER_DIED"
    torchserve.probes = answers
    async with grpc.aio.insecure_channel(torchserve.address) as another:
        watched.connect(another, "secret")
        await reaches(watched, StationState.READY)
        watched.disconnect()


async def test_a_call_that_finds_the_pool_lost_ends_the_pause(station, torchserve, monkeypatch):
    """With several workers the others go on: the station refuses no longer than one probe takes."""
    monkeypatch.setattr(station_module, "_PAUSE_READY", 3600)
    watching = asyncio.create_task(station.watch())
    await until(lambda: station.state is StationState.READY)
    torchserve.behaviour = dies
    with pytest.raises(errors.UnavailableError):
        await submit(station)
    torchserve.behaviour = answers
    await until(lambda: station.state is StationState.READY)
    watching.cancel()


async def test_a_ready_pool_is_probed_after_the_long_pause_and_another_after_the_short_one(
    station, torchserve, monkeypatch
):
    monkeypatch.setattr(station_module, "_PAUSE_READY", 3600)
    torchserve.probes = dies
    watching = asyncio.create_task(station.watch())
    await until(lambda: len(torchserve.probed) >= 3)
    torchserve.probes = answers
    await until(lambda: station.state is StationState.READY)
    probed = len(torchserve.probed)
    await asyncio.sleep(10 * station_module._PAUSE_NOT_READY)
    assert len(torchserve.probed) == probed
    watching.cancel()


async def test_what_a_planned_stop_cuts_off_was_lost_by_no_worker(watched, torchserve, channel, caplog):
    await reaches(watched, StationState.READY)
    torchserve.behaviour = hangs
    waiting = asyncio.create_task(watched.do(WORK))
    await until(lambda: torchserve.calls)
    watched.stop()
    torchserve.behaviour = answers
    # What goes on in a request that is in flight is still done.
    assert await watched.do(WORK) == RESULT
    watched.disconnect()
    await channel.close()
    for cut_off in (waiting, watched.do(WORK)):
        with pytest.raises(errors.UnavailableError, match="the server is stopping") as caught:
            await cut_off
        assert caught.value.reason == "SERVER_STOPPING"
        assert present(caught.value.retry_after) > 0
    assert "recovering" not in caplog.text
