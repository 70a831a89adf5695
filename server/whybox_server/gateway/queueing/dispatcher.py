"""One pool of a model: its queue, and the stations that work it off."""

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from google.rpc import code_pb2

from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.deadlines import now
from whybox_server.gateway.instalments import part_statuses
from whybox_server.gateway.queueing.costs import Costs
from whybox_server.gateway.queueing.order import Ranked, Usage, ranks, seconds_before
from whybox_server.gateway.queueing.stations import Station, WorkerDiedError, server_stopping, worker_died
from whybox_server.gateway.queueing.suspects import Suspects
from whybox_server.monitoring.readiness import Load

_RETRY_AFTER = 2.0
# Work takes another's place only if its rank is lower by this factor: otherwise work of the same size would be put
# aside again and again, and a worker would hold much unfinished work.
_LOWER = 0.5
# Unfinished work that a worker keeps; beyond it goes on with that before it begins anything.
_KEPT = 16
# Work that a pool holds; what waits is bounded by its cost, and this bounds what is so cheap that many of it wait.
_MOST = 2048
# Work whose worker died is given up so long before its deadline.
_GIVEN_UP = 0.5


@dataclass(eq=False)
class _Job(Ranked):
    """Work on its way.

    Attributes:
        work: What is asked.
        answer: For the caller.
        ticket: Under which a worker keeps it; empty for work that is done in one go.
        keeper: The station whose worker keeps it unfinished.
        at: The station that has it now.
        wanted: Whether its worker was told that it is wanted for other work.
        died: Why it had to begin anew; None if it did not.
        giving_up: Ends the wait for another worker.
        alone: Whether no other such work may run beside it: of two nobody could tell which one ended the worker.
    """

    work: v1.Work = field(kw_only=True)
    answer: "asyncio.Future[v1.WorkResult]" = field(kw_only=True)
    ticket: str = ""
    keeper: Station | None = None
    at: Station | None = None
    wanted: bool = False
    died: WorkerDiedError | None = None
    giving_up: asyncio.TimerHandle | None = None
    alone: bool = False

    @property
    def pause_path(self) -> Path:
        """A file beside the picture; while it is there, the worker stops at the next pass."""
        return Path(f"{self.work.picture_path}.{self.ticket}")

    def next_slice(self) -> v1.Work:
        """What the station is sent now."""
        if self.keeper is not None:
            return v1.Work(request_id=self.work.request_id, ticket=self.ticket, go_on=True, deadline=self.work.deadline)
        if not self.ticket:
            return self.work
        work = v1.Work()
        work.CopyFrom(self.work)
        work.ticket, work.pause_path = self.ticket, str(self.pause_path)
        return work


class Dispatcher:
    """Has work done in order; see `order`.

    Args:
        name: For messages.
        stations: Where it is done.
        first_guess: Seconds that work is expected to take before anything ran.
        queue_seconds: Computing time, per worker, that work may have before it when it comes.
        sliced: Whether work is done in slices. Else it is done in one go, by stations that may hold several.
    """

    def __init__(
        self, name: str, stations: Sequence[Station], *, first_guess: float, queue_seconds: float, sliced: bool
    ) -> None:
        self._name = name
        self._stations = stations
        self._costs = Costs(first_guess)
        self._usage = Usage()
        self._suspects = Suspects()
        self._queue_seconds = queue_seconds
        self._sliced = sliced
        self._jobs: dict[_Job, None] = {}
        # Those of them that no station has, and how many each has: few wait while there are places.
        self._idle: dict[_Job, None] = {}
        self._held: Counter[Station] = Counter()
        self._tickets = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        for station in stations:
            station.watched_by(self._station_changed)

    @property
    def load(self) -> Load:
        """What it has to do."""
        return Load(len(self._jobs), sum(job.remaining for job in self._jobs))

    @property
    def in_flight(self) -> int:
        """Units of work that wait or are with a worker."""
        return len(self._jobs)

    async def close(self) -> None:
        """Ends what stations have not answered yet; they are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(self, work: v1.Work, caller: str) -> v1.WorkResult:
        """Has one unit of work done. If its worker dies, it is begun once more, if there is time.

        Args:
            work: The worker stops at its `deadline`. It is for the caller not to wait any longer.
            caller: Who asks; the work of a caller counts together.

        Raises:
            OverloadedError: Too much work comes before it.
            UnavailableError: The workers are starting, those that had this work died, or the server is stopping.
            FailedPreconditionError: Two workers died while they had this very work, within the last ten minutes.
            InternalError: The answer cannot be read.
        """
        self._suspects.check(work)
        job = self._admitted(work, caller)
        self._jobs[job] = self._idle[job] = None
        self._dispatch()
        try:
            return await job.answer
        finally:
            if job.giving_up is not None:
                job.giving_up.cancel()
            if job.at is None:
                # Else its place is taken until the worker has answered.
                self._forget(job)

    def _forget(self, job: _Job) -> None:
        self._jobs.pop(job, None)
        self._idle.pop(job, None)

    def _admitted(self, work: v1.Work, caller: str) -> _Job:
        """The newcomer, if not too much comes before it; errors as in `submit`."""
        ready = [station for station in self._stations if station.is_ready]
        if not ready:
            if all(station.is_stopped for station in self._stations):
                raise server_stopping()
            raise errors.UnavailableError(
                f"the workers of {self._name} are {self._stations[0].state}; try again in a moment",
                retry_after=_RETRY_AFTER,
            )
        answer: asyncio.Future[v1.WorkResult] = asyncio.get_running_loop().create_future()
        aim = now() + _seconds_until(work, "aim")
        job = _Job(caller, self._costs.expected(work), now(), aim, work=work, answer=answer)
        if self._sliced:
            job.ticket = str(next(self._tickets))
        if not self._idle and any(self._held[station] < station.places for station in ready):
            return job
        # A call may ask for as much as it may at once: only the work of others, and of other calls, is in its way.
        others = [other for other in self._jobs if other.work.picture_path != work.picture_path]
        wait = seconds_before(job, others, self._usage, now()) / sum(station.workers for station in ready)
        if wait > self._queue_seconds or len(self._jobs) >= _MOST:
            raise errors.OverloadedError(
                f"{wait:,.1f} s of work come before this request at the workers of {self._name}, and"
                f" {self._queue_seconds:g} s may; try again later",
                retry_after=float(math.ceil(max(wait - self._queue_seconds, 1.0))),
            )
        return job

    def _dispatch(self) -> None:
        """Gives work to stations that have places, and has work put aside where better waits."""
        for station in self._stations:
            while station.is_ready and self._held[station] < station.places:
                job = self._next(station)
                if job is None:
                    break
                self._start(job, station)
        self._put_aside()

    def _waiting(self, station: Station | None) -> list[_Job]:
        """Work that could begin or go on at a station."""
        if not self._idle:
            return []
        kept = [job for job in self._idle if job.keeper is station]
        if len(kept) >= _KEPT:
            return kept
        alone = any(job.alone and job.at is not None for job in self._jobs)
        return kept + [job for job in self._idle if job.keeper is None and not (job.alone and alone)]

    def _next(self, station: Station) -> _Job | None:
        waiting = self._waiting(station)
        if len(waiting) < 2:
            return waiting[0] if waiting else None
        ranked, moment = ranks(self._jobs, self._usage, now()), now()

        def place(job: _Job) -> tuple[float, float]:
            return ranked[job], job.since

        kept = [job for job in waiting if job.keeper is not None]
        if not kept:
            return min(waiting, key=place)
        unfinished = min(kept, key=place)
        passing = [job for job in waiting if job.keeper is None and _passes(job, unfinished, ranked, moment)]
        return min(passing, key=place) if passing else unfinished

    def _put_aside(self) -> None:
        """Tells the workers with work of the highest rank that they are wanted, where work waits that passes it."""
        if not self._sliced or not self._idle:
            return
        slow = [job for job in self._jobs if job.at is not None and not job.wanted]
        if not slow:
            return
        ranked, moment = ranks(self._jobs, self._usage, now()), now()
        coming = sum(job.wanted for job in self._jobs)
        for job in sorted(slow, key=lambda job: -ranked[job]):
            passing = [each for each in self._waiting(job.at) if _passes(each, job, ranked, moment)]
            if len(passing) > coming:
                job.wanted = True
                _touch(job.pause_path)
                coming += 1

    def _start(self, job: _Job, station: Station) -> None:
        job.at = station
        self._idle.pop(job)
        self._held[station] += 1
        task = asyncio.create_task(self._do(job, station))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, job: _Job, station: Station) -> None:
        """One slice of a job at a station."""
        # A job that begins anew has another.
        flag = job.pause_path
        try:
            result = await station.do(job.next_slice())
        except WorkerDiedError as death:
            self._begin_anew(job, death)
        except errors.UnavailableError as error:
            if station.is_stopped or job.died:
                _fail(job, job.died or error)
            # Else it waits for a station that takes it.
        except Exception as error:  # noqa: BLE001 (the caller is told)
            _fail(job, error)
        else:
            self._take(job, station, result)
        finally:
            if job.wanted:
                flag.unlink(missing_ok=True)
            job.at, job.wanted = None, False
            self._held[station] -= 1
            if job.answer.done():
                self._forget(job)
                if not self._jobs:
                    # With nothing left to do, no caller has kept another waiting.
                    self._usage = Usage()
            else:
                self._idle[job] = None
            self._dispatch()

    def _take(self, job: _Job, station: Station, result: v1.WorkResult) -> None:
        spent = result.compute_ms / 1000
        self._usage.add(job.caller, max(spent - job.spent, 0.0), now())
        if result.unknown_ticket:
            self._begin_anew(job, worker_died(self._name))
        elif result.kept:
            job.keeper, job.spent = station, spent
        else:
            self._suspects.acquit(job.work)
            # What was cut off takes at least so long.
            if _is_whole(result) or spent > job.expected:
                self._costs.learn(job.work, spent)
            if not job.answer.done():
                job.answer.set_result(result)

    def _begin_anew(self, job: _Job, death: WorkerDiedError) -> None:
        """After a death; the second one ends the job."""
        if death.by_itself:
            self._suspects.accuse(job.work)
            try:
                self._suspects.check(job.work)
            except errors.FailedPreconditionError as error:
                _fail(job, error)
        left = _seconds_until(job.work, "deadline") - _GIVEN_UP
        if job.died or left <= 0:
            _fail(job, death)
        if job.answer.done():
            return
        job.died, job.alone = death, death.by_itself
        job.keeper, job.spent, job.ticket = None, 0.0, job.ticket and str(next(self._tickets))
        if left < math.inf:
            job.giving_up = asyncio.get_running_loop().call_later(left, self._give_up, job)

    def _give_up(self, job: _Job) -> None:
        if job.at is None and job.died:
            _fail(job, job.died)

    def _station_changed(self) -> None:
        for job in self._idle:
            if job.keeper is not None and not job.keeper.is_ready:
                self._begin_anew(job, worker_died(self._name))
        if all(station.is_stopped for station in self._stations):
            for job in self._idle:
                _fail(job, server_stopping())
            return
        self._dispatch()


def _passes(waiting: _Job, begun: _Job, ranked: Mapping[Ranked, float], moment: float) -> bool:
    """Whether waiting work takes the place of work that has begun. Who says so puts that aside, or leaves it aside."""
    if begun.is_urgent(moment):
        return False
    if waiting.caller == begun.caller:
        # What callers have used is no matter among their own.
        return waiting.remaining / waiting.patience(moment) < _LOWER * begun.remaining / begun.patience(moment)
    return ranked[waiting] < _LOWER * ranked[begun]


def _is_whole(result: v1.WorkResult) -> bool:
    """Whether neither an error, nor time, nor the end of the call has cut the work off."""
    statuses = (result.status, *part_statuses(result.response))
    return not result.cut_short and all(status.code == code_pb2.OK for status in statuses)


def _fail(job: _Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _touch(path: Path) -> None:
    # Without the folder there is no picture either, and the worker stops anyway.
    with contextlib.suppress(FileNotFoundError):
        path.touch()


def _seconds_until(work: v1.Work, name: Literal["aim", "deadline"]) -> float:
    """Seconds until a time of some work; infinite without it."""
    return getattr(work, name).ToNanoseconds() / 1e9 - time.time() if work.HasField(name) else math.inf
