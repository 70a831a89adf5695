"""A certificate, made piece by piece: other work gets its turn in between, and the caller sees it grow."""

import asyncio
import time
from collections.abc import AsyncGenerator

from google.rpc import code_pb2

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, UnavailableError, error_from_status
from whybox_server.gateway.deadlines import RESERVE_SECONDS, ending_within
from whybox_server.gateway.pools import Pool

RUNNING = "running"

_LATE = "the deadline passed before the class was chosen; allow more time"
# Where nobody could make the next piece, it waits so long before it asks again.
_PAUSE_SECONDS = 0.5


async def certificate(pool: Pool, work: v1.Work, timeout: float) -> AsyncGenerator[v1.WorkResult, None]:
    """Has pieces of a certificate made, one after the other, until it is complete or its time is over.

    The deadline completes it with the draws so far, also where a piece comes too late. The first piece fails as any
    other work does where the queue is full or a worker dies; those that follow are asked for again, for what was drawn
    is here, and what was begun shall be finished.

    Args:
        pool: Where the pieces are made.
        work: The first piece.
        timeout: Seconds until the deadline.

    Yields:
        What was answered to each piece, with its own computing time; `certified.state` is "running" but in the last.

    Raises:
        WhyboxError: A piece failed, or time was over before the class was chosen.
    """
    end = time.monotonic() + timeout - RESERVE_SECONDS
    proven: v1.WorkResult | None = None
    while True:
        try:
            result = await _piece(pool, work, end)
        except DeadlineExceededError:
            if proven is None:
                raise
            yield proven
            return
        if not result.HasField("smoothing"):
            yield result
            return
        work = _next(work, result.smoothing)
        if result.response.certified.state != RUNNING:
            proven = v1.WorkResult(response=result.response)
        yield _running(result)


async def _piece(pool: Pool, work: v1.Work, end: float) -> v1.WorkResult:
    """What a worker answers; but for the first piece, as often as it takes until one can."""
    async with ending_within(end - time.monotonic(), _LATE):
        while True:
            try:
                return _answered(await pool.submit(work, end - time.monotonic()))
            except UnavailableError:
                if not work.HasField("smoothing"):
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)


def _answered(result: v1.WorkResult) -> v1.WorkResult:
    """Raises what the worker says itself of the whole piece or of the part."""
    for status in (result.status, result.response.certified.status):
        if status.code != code_pb2.OK:
            raise error_from_status(status)
    return result


def _next(work: v1.Work, smoothing: v1.Smoothing) -> v1.Work:
    following = v1.Work()
    following.CopyFrom(work)
    following.smoothing.CopyFrom(smoothing)
    return following


def _running(result: v1.WorkResult) -> v1.WorkResult:
    """Without what would be proven if this were the end: who may choose the end by it has not that confidence."""
    running = v1.WorkResult()
    running.CopyFrom(result)
    part = running.response.certified
    part.state = RUNNING
    for field in ("radius", "probability_lower_bound", "stopped_by"):
        part.ClearField(field)
    return running
