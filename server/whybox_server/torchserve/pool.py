"""One worker pool of TorchServe, seen from the gateway: admission, calls, and whether it can answer."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from enum import StrEnum

import grpc
from google.protobuf.message import DecodeError

from whybox import v1
from whybox.v1 import errors
from whybox_server.monitoring.readiness import SERVER_STOPPING
from whybox_server.torchserve.inference_pb2 import PredictionResponse, PredictionsRequest
from whybox_server.torchserve.suspects import Suspects
from whybox_server.torchserve.workers import Workers

_log = logging.getLogger(__name__)

# What TorchServe says of a worker that ended alone, with the codes INTERNAL and RESOURCE_EXHAUSTED.
_WORKER_DIED = "Worker died"
_METHOD = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
# A probe of a pool that is not busy and does not answer within this time has found it dead.
_PROBE_SECONDS = 10.0
_PAUSE_READY, _PAUSE_NOT_READY = 5.0, 0.5
_RETRY_AFTER = 2.0
# Pause before work is tried again whose worker died; another takes seconds to start.
_PAUSE_AGAIN = 0.5
# A worker hangs that has not answered for so long after it took its work and after the work's deadline.
_HANGS_SECONDS = 30.0
_GUARD_SECONDS = 1.0


class PoolState(StrEnum):
    """Whether a pool can answer."""

    STARTING = "starting"
    READY = "ready"
    RECOVERING = "recovering"


class _WorkerDiedError(errors.UnavailableError):
    """The worker that had some work ended.

    Attributes:
        by_itself: Whether it ended alone, which may be the fault of the work, and not with TorchServe.
    """

    by_itself = False


class Pool:
    """The workers of one model for one kind of work.

    Args:
        registered_name: Name under which TorchServe knows it.
        limit: Units of work that may be in flight.
        worker_memory: Bytes that a worker may hold; one that holds more is replaced.

    Attributes:
        state: As the last probe or call found it.
        since: `time.monotonic()` of the last change of `state`, or of the last start of TorchServe.
        was_ready: Whether it has been ready since the last start of TorchServe.
    """

    def __init__(self, registered_name: str, limit: int, worker_memory: int) -> None:
        self._name = registered_name
        self._limit = limit
        self._workers = Workers(registered_name, worker_memory)
        self._suspects = Suspects()
        # Of two suspects at once nobody could tell which one ended the worker.
        self._one_suspect = asyncio.Lock()
        # The oldest first, each with its deadline, in seconds since the epoch.
        self._held: dict[asyncio.Task[v1.WorkResult], float] = {}
        # The oldest, and since when it is, or since a worker was ended because of it.
        self._oldest: asyncio.Task[v1.WorkResult] | None = None
        self._oldest_since = 0.0
        self._call: grpc.aio.UnaryUnaryMultiCallable[PredictionsRequest, PredictionResponse] | None = None
        self._metadata: Sequence[tuple[str, str]] = ()
        self._was_lost = asyncio.Event()
        self._stopping = False
        self.state = PoolState.STARTING
        self.since = time.monotonic()
        self.was_ready = False

    def connect(self, channel: grpc.aio.Channel, token: str) -> None:
        """Uses a newly started TorchServe; the pool is not ready until a probe was answered."""
        self._call = channel.unary_unary(
            _METHOD,
            request_serializer=PredictionsRequest.SerializeToString,
            response_deserializer=PredictionResponse.FromString,
        )
        self._metadata = (("protocol", "gRPC"), ("authorization", f"Bearer {token}"))
        self.state = PoolState.STARTING
        self.since = time.monotonic()
        self.was_ready = False

    def disconnect(self) -> None:
        """TorchServe is gone; the supervisor has logged why."""
        self._call = None
        self._set(PoolState.RECOVERING)

    def stop(self) -> None:
        """The server is stopping: work that is cut off from now on was not lost by a worker."""
        self._stopping = True

    async def submit(self, work: v1.Work) -> v1.WorkResult:
        """Has one unit of work done. If its worker dies, the next one tries it once more, if there is time.

        Args:
            work: The worker stops at its `deadline`. It is for the caller not to wait any longer.

        Raises:
            OverloadedError: As many requests as may wait do wait.
            UnavailableError: The workers are starting, those that had this work died, or the server is stopping.
            FailedPreconditionError: Two workers died while they had this very work, within the last ten minutes.
            InternalError: The answer cannot be read.
        """
        self._suspects.check(work)
        try:
            result = await self._submitted(work)
        except _WorkerDiedError as death:
            self._accuse(work, death)
            result = await self._once_more(work, death)
        self._suspects.acquit(work)
        return result

    async def _once_more(self, work: v1.Work, death: _WorkerDiedError) -> v1.WorkResult:
        """Has work done whose worker died, as soon as there is another; without time for that, raises the death."""
        async with self._one_suspect if death.by_itself else contextlib.nullcontext():
            while time.time() + _PAUSE_AGAIN < _deadline(work):
                await asyncio.sleep(_PAUSE_AGAIN)
                try:
                    return await self._submitted(work)
                except _WorkerDiedError as another:
                    self._accuse(work, another)
                    raise
                except errors.UnavailableError:
                    if self._stopping:
                        raise
        raise death

    def _accuse(self, work: v1.Work, death: _WorkerDiedError) -> None:
        if death.by_itself:
            self._suspects.accuse(work)
            self._suspects.check(work)

    async def _submitted(self, work: v1.Work) -> v1.WorkResult:
        if self._stopping and self._call is None:
            raise _server_stopping()
        if self.state is not PoolState.READY:
            raise errors.UnavailableError(
                f"the workers of {self._name} are {self.state}; try again in a moment", retry_after=_RETRY_AFTER
            )
        if self.in_flight >= self._limit:
            raise errors.OverloadedError(
                f"{self._limit} requests wait for the workers of {self._name} already; try again in a moment",
                retry_after=_RETRY_AFTER,
            )
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
            if self.state is PoolState.READY:
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
            self._workers.end_large()
            self._end_hanging()

    def _end_hanging(self) -> None:
        # The oldest is in a worker's hands; what is late behind it may only wait for work that has more time.
        oldest, now = next(iter(self._held), None), time.time()
        if oldest is not self._oldest:
            self._oldest, self._oldest_since = oldest, now
        if oldest is not None and max(self._held[oldest], self._oldest_since) + _HANGS_SECONDS < now:
            # If it was another worker that hangs, that one is ended the next time.
            self._oldest_since = now
            self._workers.end_silent()

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
            if self.state is not PoolState.READY:
                _log.info("%s is ready", self._name)
            self.was_ready = True
            self._set(PoolState.READY)
        finally:
            sending.cancel()

    async def _send(self, work: v1.Work) -> v1.WorkResult:
        if self._call is None:
            raise errors.UnavailableError(f"{self._name} has no TorchServe", retry_after=_RETRY_AFTER)
        request = PredictionsRequest(model_name=self._name, input={"request": work.SerializeToString()})
        try:
            response = await self._call(request, metadata=self._metadata)
            result = v1.WorkResult.FromString(response.prediction)
        except DecodeError:
            _log.error("%s: the answer of a worker cannot be read", self._name)
            raise errors.InternalError(f"the answer of the worker of {self._name} cannot be read") from None
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
            died.by_itself = _WORKER_DIED in (error.details() or "")
            raise died from None
        self._workers.note(result.worker)
        return result

    def _died(self) -> _WorkerDiedError:
        if self._stopping:
            raise _server_stopping()
        return _WorkerDiedError(
            f"the worker of {self._name} that had this request died; it is being restarted, try again in a moment",
            reason="WORKER_DIED",
            retry_after=_RETRY_AFTER,
        )

    def _lost(self, why: str) -> None:
        # One that is starting or recovering already goes on with that.
        if self.state is PoolState.READY and not self._stopping:
            _log.warning("%s is recovering: %s", self._name, why)
            self._set(PoolState.RECOVERING)
            self._was_lost.set()

    def _set(self, state: PoolState) -> None:
        if state is not self.state:
            self.state = state
            self.since = time.monotonic()


def _deadline(work: v1.Work) -> float:
    """Seconds since the epoch; far away without one."""
    return work.deadline.ToNanoseconds() / 1e9 if work.HasField("deadline") else math.inf


def _server_stopping() -> errors.UnavailableError:
    return errors.UnavailableError(
        "the server is stopping; send the request to another server, or again when this one has restarted",
        reason=SERVER_STOPPING,
        retry_after=_RETRY_AFTER,
    )
