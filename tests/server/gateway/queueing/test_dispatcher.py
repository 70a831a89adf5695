"""Who is next, who is refused, and what becomes of work whose worker dies."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.rpc import code_pb2

from presence import present
from server.gateway.queueing.stations import PASS_SECONDS, FakeStation
from virtual_time import in_virtual_time
from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.deadlines import now
from whybox_server.gateway.queueing.dispatcher import Dispatcher
from whybox_server.gateway.queueing.stations import worker_died
from whybox_server.monitoring.readiness import Load

CHEAP, DEAR = "grad_cam", "integrated_gradients"


class Clients:
    """Callers of one pool.

    Attributes:
        done: Request ids in the order of their answers, with the seconds that they took.
    """

    def __init__(
        self, stations: Sequence[FakeStation], folder: Path, queue_seconds: float = 1000, *, sliced: bool = True
    ) -> None:
        self.stations = stations
        self.pool = Dispatcher("m-analyze", stations, first_guess=1, queue_seconds=queue_seconds, sliced=sliced)
        self.done: list[tuple[str, float]] = []
        self._folder = folder

    def ask(
        self,
        request_id: str,
        method: str = DEAR,
        caller: str = "somebody",
        timeout: float = 1000,
        call: str = "",
    ) -> "asyncio.Task[v1.WorkResult]":
        """Begins a call; the picture lies in a file."""
        work = v1.Work(request_id=request_id, request=v1.AnalyzeRequest(model="m"))
        work.request.explanations.add(method=method)
        work.deadline.FromNanoseconds(round(1e9 * (time.time() + timeout)))
        work.aim.CopyFrom(work.deadline)
        # One file for all the work of a call.
        path = self._folder / (call or request_id)
        path.write_bytes(request_id.encode())
        work.picture_path = str(path)
        return asyncio.create_task(self._asked(work, caller))

    async def _asked(self, work: v1.Work, caller: str) -> v1.WorkResult:
        began = time.time()
        try:
            result = await self.pool.submit(work, caller)
        finally:
            if work.picture_path.endswith(work.request_id):
                (self._folder / work.request_id).unlink(missing_ok=True)
        assert result.response.request_id == work.request_id
        self.done.append((work.request_id, time.time() - began))
        return result

    async def learn(self, method: str, seconds: float) -> None:
        """Has the pool see what a method costs."""
        for station in self.stations:
            station.seconds["learned"] = seconds
        await self.ask("learned", method)
        self.done.clear()
        for station in self.stations:
            station.spans.clear()


@pytest.fixture
def station() -> FakeStation:
    return FakeStation()


@pytest.fixture
def clients(station: FakeStation, tmp_path: Path) -> Clients:
    return Clients([station], tmp_path)


@in_virtual_time
async def test_a_cheap_answer_does_not_wait_for_a_dear_one(clients, station):
    await clients.learn(CHEAP, 0.01)
    station.seconds |= {"search": 10, "map": 0.01}
    search = clients.ask("search")
    await asyncio.sleep(0.55)
    seconds = []
    for _ in range(5):
        await clients.ask("map", CHEAP)
        seconds.append(clients.done[-1][1])
        await asyncio.sleep(0.3)
    assert max(seconds) <= PASS_SECONDS + 0.01 + 1e-6, "it waits for the end of a pass"
    await search
    assert clients.done[-1] == ("search", pytest.approx(10.05)), "nothing of it is done twice"
    assert station.most == 1
    assert station.kept == {}


@pytest.mark.parametrize("age", [0.55, 30])
@in_virtual_time
async def test_a_cheap_answer_passes_the_same_callers_search_whatever_the_caller_used(clients, station, age):
    """Two callers share the worker, and the one that asks has used most of it."""
    await clients.learn(CHEAP, 0.01)
    await clients.learn(DEAR, 60)
    clients.pool._usage.add("heavy", 30, now())
    station.seconds |= {"search": 60, "other": 60, "map": 0.01}
    works = [clients.ask("search", caller="heavy"), clients.ask("other", caller="light")]
    await asyncio.sleep(age)
    caller = next(job.caller for job in clients.pool._jobs if job.at is not None)
    await clients.ask("map", CHEAP, caller=caller)
    assert clients.done[-1][0] == "map"
    assert clients.done[-1][1] <= PASS_SECONDS + 0.01 + 1e-6
    for work in works:
        work.cancel()


@in_virtual_time
async def test_work_is_put_aside_for_nothing_that_does_not_take_its_place(clients, station):
    """A search that ends soon is not stopped at each of its last passes."""
    await clients.learn(CHEAP, 0.01)
    station.seconds |= {"search": 8, "map": 0.01}
    search = clients.ask("search", timeout=4)
    await asyncio.sleep(3.05)
    clients.ask("map", CHEAP)
    await asyncio.sleep(0.9)
    assert len(station.spans) <= 5, station.spans
    search.cancel()


@in_virtual_time
async def test_the_load(clients, station):
    await clients.learn(DEAR, 4)
    station.seconds |= {"one": 4, "two": 4}
    assert clients.pool.load == Load(0, 0)
    searches = [clients.ask("one"), clients.ask("two")]
    await asyncio.sleep(2.55)
    # The first one has ended two slices of 1 s.
    assert (clients.pool.load.works, clients.pool.load.seconds) == (2, pytest.approx(6))
    await asyncio.gather(*searches)


@in_virtual_time
async def test_both_parts_of_a_call_asked_together(clients, station):
    """The dear one first, as it happens."""
    await clients.learn(CHEAP, 0.01)
    station.seconds |= {"search": 0.8, "map": 0.01}
    await asyncio.gather(clients.ask("search"), clients.ask("map", CHEAP))
    assert [request_id for request_id, _ in clients.done] == ["map", "search"]


@in_virtual_time
async def test_the_shortest_is_first(clients, station):
    for method, seconds in {"a": 3, "b": 0.5, "c": 1.5}.items():
        await clients.learn(method, seconds)
        station.seconds[method] = seconds
    station.seconds["first"] = 1
    works = [clients.ask("first")] + [clients.ask(method, method, caller=method) for method in "abc"]
    await asyncio.gather(*works)
    # The first is taken for 1 s, and had begun.
    assert [request_id for request_id, _ in clients.done] == ["first", "b", "c", "a"]


@in_virtual_time
async def test_work_of_one_size_is_not_cut_up(clients, station):
    """Each goes on from slice to slice, so that the worker keeps nothing and the first is soon done."""
    await clients.learn(DEAR, 3)
    names = [f"search {number}" for number in range(4)]
    station.seconds |= dict.fromkeys(names, 3)
    await asyncio.gather(*(clients.ask(name, caller=name) for name in names))
    assert station.order == names
    assert [seconds for _, seconds in clients.done] == pytest.approx([3, 6, 9, 12])


@in_virtual_time
async def test_no_caller_waits_for_the_flood_of_another(clients, station):
    await clients.learn(DEAR, 1)
    flood = [f"flood {number}" for number in range(20)]
    station.seconds |= dict.fromkeys([*flood, "single"], 1)
    works = [clients.ask(name, caller="flooder") for name in flood]
    await asyncio.sleep(0.5)
    await clients.ask("single", caller="somebody else")
    assert clients.done[-1][1] <= 2.5
    await asyncio.gather(*works)


@in_virtual_time
async def test_what_waits_gains(clients, station):
    """A steady stream of cheap work does not keep dear work from ever being done."""
    await clients.learn(CHEAP, 0.5)
    await clients.learn(DEAR, 5)
    station.seconds |= {"search": 5, "map": 0.5}
    search = clients.ask("search", caller="patient")
    for asked in range(200):
        clients.ask("map", CHEAP, caller=f"caller {asked}")
        await asyncio.sleep(0.5)
        if search.done():
            break
    assert 5.5 < dict(clients.done)["search"] < 60
    await clients.pool.close()


@in_virtual_time
async def test_unfinished_work_ends_in_time(clients, station):
    """What a search has found is lost if it has no turn before its deadline."""
    await clients.learn(CHEAP, 0.9)
    station.seconds |= {"search": 2, "map": 0.9}
    search = clients.ask("search", timeout=6)
    await asyncio.sleep(1.5)
    for number in range(20):
        clients.ask("map", CHEAP, caller=f"caller {number}")
    await search
    assert dict(clients.done)["search"] <= 6
    await clients.pool.close()


@in_virtual_time
async def test_several_workers(tmp_path):
    stations = [FakeStation(f"m-analyze-{number}") for number in (1, 2)]
    clients = Clients(stations, tmp_path)
    await clients.learn(CHEAP, 0.01)
    for station in stations:
        station.seconds |= {"one": 5, "two": 5, "three": 5, "map": 0.01}
    searches = [clients.ask(name) for name in ("one", "two", "three")]
    await asyncio.sleep(0.55)
    await clients.ask("map", CHEAP)
    assert clients.done[-1][1] <= PASS_SECONDS + 0.01 + 1e-6
    assert sum(len(station.spans) for station in stations) == 2, "one worker is enough"
    await asyncio.gather(*searches)
    assert max(seconds for _, seconds in clients.done) <= 10.2
    # Work goes on where it was begun.
    assert all(station.order.count(name) <= 2 for station in stations for name in ("one", "two", "three"))


@in_virtual_time
async def test_too_much_is_refused_with_the_time_that_it_takes(station, tmp_path):
    clients = Clients([station], tmp_path, queue_seconds=5)
    await clients.learn(DEAR, 2)
    await clients.learn(CHEAP, 0.01)
    works = []
    station.seconds |= dict.fromkeys([f"search {number}" for number in range(10)], 2)
    for number in range(10):
        works.append(clients.ask(f"search {number}"))
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*works[3:], return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, errors.OverloadedError)]
    assert len(refused) == len(outcomes), "6 s come before the fourth"
    assert {outcome.retry_after for outcome in refused} == {1.0}
    assert "6.0 s of work come before this request at the workers of m-analyze, and 5 s may" in refused[0].message
    assert clients.pool.in_flight == 3
    # What is cheaper, or another's, comes before that.
    await clients.ask("map", CHEAP)
    await clients.ask("search 9", caller="another")
    await asyncio.gather(*works[:3])
    await clients.ask("search 0")


@in_virtual_time
async def test_all_that_one_call_asks_for_is_taken(station, tmp_path):
    """However dear it is; the next call waits, or is refused."""
    clients = Clients([station], tmp_path, queue_seconds=5)
    await clients.learn(DEAR, 2)
    maps = [f"map {number}" for number in range(16)]
    station.seconds |= dict.fromkeys([*maps, "later"], 2)
    works = [clients.ask(name, call="call") for name in maps]
    await asyncio.sleep(0.1)
    with pytest.raises(errors.OverloadedError) as caught:
        await clients.ask("later")
    assert present(caught.value.retry_after) == 27
    await asyncio.gather(*works)


@in_virtual_time
async def test_a_caller_that_goes_leaves_its_place_when_the_worker_is_done(clients, station):
    station.seconds |= {"running": 0.9, "waiting": 1}
    running, waiting = clients.ask("running"), clients.ask("waiting")
    await asyncio.sleep(0.1)
    assert clients.pool.in_flight == 2
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert clients.pool.in_flight == 1
    await asyncio.sleep(1)
    assert clients.pool.in_flight == 0
    assert [request_id for request_id, *_ in station.spans] == ["running"]


@in_virtual_time
async def test_the_flag_of_a_worker_is_gone_after_its_slice(clients, station, tmp_path):
    await clients.learn(CHEAP, 0.01)
    station.seconds |= {"search": 3}
    search = clients.ask("search")
    await asyncio.sleep(0.55)
    await clients.ask("map", CHEAP)
    await asyncio.sleep(0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["search"]
    search.cancel()
    await clients.pool.close()


DEATH = worker_died("m-analyze")


def by_itself() -> errors.WhyboxError:
    death = worker_died("m-analyze")
    death.by_itself = True
    return death


@in_virtual_time
async def test_work_whose_worker_died_begins_anew_once(clients, station):
    station.seconds["search"] = 3
    station.errors["search"] = [by_itself()]
    await clients.ask("search")
    assert clients.done[-1][1] == pytest.approx(3 + PASS_SECONDS)
    # It was done, so that it is not to blame.
    station.errors["search"] = [by_itself()]
    await clients.ask("search")


@pytest.mark.parametrize("sliced", [True, False])
@in_virtual_time
async def test_work_that_ended_two_workers_is_refused(station, tmp_path, sliced):
    clients = Clients([station], tmp_path, sliced=sliced)
    station.errors["poison"] = [by_itself(), by_itself()]
    with pytest.raises(errors.FailedPreconditionError, match="ended 2 worker processes, so it is refused") as caught:
        await clients.ask("poison")
    assert caught.value.reason == "KILLED_WORKERS"
    asked = len(station.spans)
    with pytest.raises(errors.FailedPreconditionError):
        await clients.ask("poison")
    assert len(station.spans) == asked
    await clients.ask("another", CHEAP)


@in_virtual_time
async def test_the_end_of_torchserve_is_nobodys_fault(clients, station):
    station.errors["search"] = [DEATH, DEATH]
    with pytest.raises(errors.UnavailableError, match="that had this request died") as caught:
        await clients.ask("search")
    assert caught.value.reason == "WORKER_DIED"
    await clients.ask("search")


@in_virtual_time
async def test_a_death_without_time_to_begin_anew(clients, station):
    station.errors["search"] = [DEATH]
    with pytest.raises(errors.UnavailableError, match="that had this request died"):
        await clients.ask("search", timeout=0.55)


@in_virtual_time
async def test_a_death_and_no_other_worker_in_time(clients, station):
    station.errors["search"] = [DEATH]
    search = clients.ask("search", timeout=10)
    await asyncio.sleep(PASS_SECONDS / 2)
    station.become("recovering")
    with pytest.raises(errors.UnavailableError, match="that had this request died"):
        await search
    assert clients.pool.in_flight == 0
    await clients.pool.close()


@in_virtual_time
async def test_what_a_worker_kept_begins_anew_where_another_is(tmp_path):
    stations = [FakeStation(f"m-analyze-{number}") for number in (1, 2)]
    clients = Clients(stations, tmp_path)
    await clients.learn(CHEAP, 0.01)
    for station in stations:
        station.seconds |= {"one": 4, "two": 4, "map": 0.8}
    searches = [clients.ask(name) for name in ("one", "two")]
    await asyncio.sleep(0.55)
    short = clients.ask("map", CHEAP)
    await asyncio.sleep(0.2)
    [keeper] = [station for station in stations if station.kept]
    keeper.become("recovering")
    await asyncio.gather(*searches, short)
    assert all(seconds < 10 for _, seconds in clients.done)


@in_virtual_time
async def test_another_process_does_not_know_the_ticket(clients, station):
    station.seconds["search"] = 3
    search = clients.ask("search")
    await asyncio.sleep(1.5)
    station.kept.clear()
    station._pause_paths.clear()
    await search


@in_virtual_time
async def test_of_two_suspects_one_runs_at_a_time(tmp_path):
    """Both had the worker that died; each is tried again without the other."""
    stations = [FakeStation(f"m-analyze-{number}") for number in (1, 2)]
    clients = Clients(stations, tmp_path)
    deaths = {"one": [by_itself()], "two": [by_itself()]}
    for station in stations:
        station.seconds |= {"one": 0.5, "two": 0.5}
        station.errors = deaths
    await asyncio.gather(clients.ask("one"), clients.ask("two"))
    ends = sorted((began, end) for station in stations for _, began, end in station.spans)
    assert ends[0][1] <= ends[1][0] + 1e-9


@in_virtual_time
async def test_what_is_not_ready_takes_nothing(clients, station):
    station.become("starting")
    with pytest.raises(errors.UnavailableError, match="m-analyze are starting; try again") as caught:
        await clients.ask("search")
    assert present(caught.value.retry_after) > 0
    station.become("ready")
    await clients.ask("search")


@in_virtual_time
async def test_what_waits_when_the_server_stops(clients, station):
    station.seconds |= {"running": 0.9}
    running, waiting = clients.ask("running"), clients.ask("waiting")
    await asyncio.sleep(0.1)
    station.become("stopped")
    with pytest.raises(errors.UnavailableError) as caught:
        await waiting
    assert caught.value.reason == "SERVER_STOPPING"
    await running
    with pytest.raises(errors.UnavailableError, match="stopping"):
        await clients.ask("late")


@in_virtual_time
async def test_an_error_of_ours_reaches_the_caller(clients, station):
    station.errors["search"] = [errors.InternalError("the answer cannot be read")]
    with pytest.raises(errors.InternalError, match="cannot be read"):
        await clients.ask("search")
    assert clients.pool.in_flight == 0


@pytest.mark.parametrize("cut", ["time", "error", "caller"])
@pytest.mark.parametrize(("seconds", "expected"), [(0.5, 1.0), (3.0, 3.0)])
@in_virtual_time
async def test_what_was_cut_off_teaches_that_it_takes_at_least_so_long(clients, station, cut, seconds, expected):
    real = station._slice

    async def short(work):
        result = await real(work)
        result.cut_short = cut == "time"
        if cut == "error":
            result.status.code = code_pb2.INTERNAL
        if cut == "caller":
            result.response.explanations.add(method=DEAR).status.code = code_pb2.CANCELLED
        return result

    station._slice = short
    station.seconds["search"] = seconds
    await clients.ask("search")
    work = v1.Work(request=v1.AnalyzeRequest(explanations=[v1.ExplanationOptions(method=DEAR)]))
    assert clients.pool._costs.expected(work) == pytest.approx(expected)
