"""The workers under one name of TorchServe, seen from the gateway: calls, and whether they can answer."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

import grpc
from google.protobuf.message import DecodeError

from whybox import v1
from whybox.v1 import errors
from whybox_server.gateway.queueing.stations import WorkerDiedError, server_stopping, worker_died
from whybox_server.torchserve.inference_pb2 import PredictionResponse, PredictionsRequest
from whybox_server.torchserve.workers import Workers

_log = logging.getLogger(__name__)

# What TorchServe says of a worker that ended alone, with the codes INTERNAL and RESOURCE_EXHAUSTED.
_WORKER_DIED = "Worker died"
_METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
# A probe of a pool that is not busy and does not answer within this time has found it dead.
_PROBE_SECONDS = 10.0
_PAUSE_READY, _PAUSE_NOT_READY = 5.0, 0.5
_RETRY_AFTER = 2.0
# A worker hangs that has not answered for so long after it took its work and after the work's deadline.
_HANGS_SECONDS = 30.0
_GUARD_SECONDS = 1.0


class StationState(StrEnum):
    """Whether a station can answer."""

    STARTING = "starting"
    READY = "ready"
    RECOVERING = "recovering"
    STOPPED = "stopped"


class Station:
    """The workers that take from one queue of TorchServe; see `gateway.queueing.stations.Station`.

    Args:
        registered_name: Name under which TorchServe knows it.
        workers: Number of processes.
        places: Units of work that TorchServe may hold.
        worker_memory: Bytes that a worker may hold; one that holds more is replaced.
        nice: Niceness of the workers.

    Attributes:
        name: The registered name.
        workers: See above.
        places: See above.
        state: As the last probe or call found it.
        since: `time.monotonic()` of the last change of `state`, or of the last start of TorchServe.
        was_ready: Whether it has been ready since the last start of TorchServe.
    """

    def __init__(self, registered_name: str, workers: int, places: int, worker_memory: int, nice: int = 0) -> None:
        self.name = registered_name
        self.workers = workers
        self.places = places
        self._processes = Workers(registered_name, worker_memory, nice)
        self._changed: Callable[[], None] = lambda: None
        # The oldest first, each with its deadline, in seconds since the epoch.
        self._held: dict[asyncio.Task[v1.WorkResult], float] = {}
        # The oldest, and since when it is, or since a worker was ended because of it.
        self._oldest: asyncio.Task[v1.WorkResult] | None = None
        self._oldest_since = 0.0
        self._call: grpc.aio.UnaryUnaryMultiCallable[PredictionsRequest, PredictionResponse] | None = None
        self._metadata: Sequence[tuple[str, str]] = ()
        self._was_lost = asyncio.Event()
        self._stopping = False
        self.state = StationState.STARTING
        self.since = time.monotonic()
        self.was_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether it takes work."""
        return self.state is StationState.READY

    @property
    def is_stopped(self) -> bool:
        """Whether the server is stopping and TorchServe is gone."""
        return self.state is StationState.STOPPED

    def watched_by(self, changed: Callable[[], None]) -> None:
        """Has `changed` called after each change of `state`."""
        self._changed = changed

    def connect(self, channel: grpc.aio.Channel, token: str) -> None:
        """Uses a newly started TorchServe; the pool is not ready until a probe was answered."""
        self._call = channel.unary_unary(
            _METHOD,
            request_serializer=PredictionsRequest.SerializeToString,
            response_deserializer=PredictionResponse.FromString,
        )
        self._metadata = (("protocol", "gRPC"), ("authorization", f"Bearer {token}"))
        self.was_ready = False
        self._set(StationState.STARTING)
        self.since = time.monotonic()

    def disconnect(self) -> None:
        """TorchServe is gone; the supervisor has logged why."""
        self._call = None
        self._set(StationState.STOPPED if self._stopping else StationState.RECOVERING)

    def stop(self) -> None:
        """The server is stopping: work that is cut off from now on was not lost by a worker."""
        self._stopping = True

    async def do(self, work: v1.Work) -> v1.WorkResult:
        """Has one unit of work, or a slice of it, done.

        Raises:
            WorkerDiedError: The worker died meanwhile, or TorchServe.
            UnavailableError: There is no TorchServe, or the server is stopping.
            InternalError: The answer cannot be read.
        """
        sending = asyncio.create_task(self._send(work))
        self._held[sending] = _deadline(work)
        sending.add_done_callback(self._release)
        # TorchServe keeps a job whose caller has gone: it counts until it is answered.
        await asyncio.wait([sending])
        return sending.result()

    @property
    def in_flight(self) -> int:
        """Units of work that TorchServe has not answered yet."""
        return len(self._held)

    def _release(self, sending: "asyncio.Task[v1.WorkResult]") -> None:
        self._held.pop(sending, None)
        if not sending.cancelled():
            sending.exception()  # the caller may be gone, and the exception would never be retrieved

    async def watch(self) -> None:
        """Probes for ever, so that `state` is true also while no calls come."""
        while True:
            await self._probe()
            if self.state is StationState.READY:
                # A call that finds the pool lost ends the pause.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._was_lost.wait(), _PAUSE_READY)
            else:
                await asyncio.sleep(_PAUSE_NOT_READY)
            self._was_lost.clear()

    async def guard(self) -> None:
        """Ends, for ever, workers that hold too much memory or hang; TorchServe starts others."""
        while True:
            await asyncio.sleep(_GUARD_SECONDS)
            self._processes.end_large()
            self._end_hanging()

    def _end_hanging(self) -> None:
        # The oldest is in a worker's hands; what is late behind it may only wait for work that has more time.
        oldest, now = next(iter(self._held), None), time.time()
        if oldest is not self._oldest:
            self._oldest, self._oldest_since = oldest, now
        if oldest is not None and max(self._held[oldest], self._oldest_since) + _HANGS_SECONDS < now:
            # If it was another worker that hangs, that one is ended the next time.
            self._oldest_since = now
            self._processes.end_silent()

    async def _probe(self) -> None:
        sending = asyncio.create_task(self._send(v1.Work()))
        try:
            # The probe waits in the same queue: behind long work, no answer means busy.
            while not (await asyncio.wait([sending], timeout=_PROBE_SECONDS))[0]:
                if self.in_flight == 0:
                    self._lost("no answer to a probe")
                    return
            sending.result()
        except errors.WhyboxError:
            pass  # `_send` has noted it
        else:
            if self.state is not StationState.READY:
                _log.info("%s is ready", self.name)
            self.was_ready = True
            self._set(StationState.READY)
        finally:
            sending.cancel()

    async def _send(self, work: v1.Work) -> v1.WorkResult:
        if self._call is None:
            if self._stopping:
                raise server_stopping()
            raise errors.UnavailableError(f"{self.name} has no TorchServe", retry_after=_RETRY_AFTER)
        request = PredictionsRequest(model_name=self.name, input={"request": work.SerializeToString()})
        try:
            response = await self._call(request, metadata=self._metadata)
            result = v1.WorkResult.FromString(response.prediction)
        except DecodeError:
            _log.error("%s: the answer of a worker cannot be read", self.name)
            raise errors.InternalError(f"the answer of the worker of {self.name} cannot be read") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # grpc.aio cancels the calls of a channel that closes: TorchServe is being restarted.
            raise self._died() from None
        except grpc.aio.AioRpcError as error:
            # TorchServe says INTERNAL for all that can still go wrong here: errors of ours travel inside the answer, so
            # that the worker or TorchServe itself has died.
            self._lost(f"{error.code().name} {error.details()}")
            died = self._died()
            if isinstance(died, WorkerDiedError):
                died.by_itself = _WORKER_DIED in (error.details() or "")
            raise died from None
        self._processes.note(result.worker)
        return result

    def _died(self) -> errors.UnavailableError:
        return server_stopping() if self._stopping else worker_died(self.name)

    def _lost(self, why: str) -> None:
        # One that is starting or recovering already goes on with that.
        if self.state is StationState.READY and not self._stopping:
            _log.warning("%s is recovering: %s", self.name, why)
            self._set(StationState.RECOVERING)
            self._was_lost.set()

    def _set(self, state: StationState) -> None:
        if state is not self.state:
            self.state = state
            self.since = time.monotonic()
            self._changed()


def _deadline(work: v1.Work) -> float:
    """Seconds since the epoch; far away without one."""
    return work.deadline.ToNanoseconds() / 1e9 if work.HasField("deadline") else math.inf
