"""A certificate, made piece by piece: other work gets its turn in between, and the caller sees it grow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from google.rpc import code_pb2

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, OverloadedError, error_from_status

if TYPE_CHECKING:
    from whybox_server.gateway import Pool

RUNNING = "running"

# Kept back before the deadline, for the answer to reach the caller.
_RESERVE_SECONDS = 0.1
# Where the queue is full, the next piece waits so long before it asks again.
_PAUSE_SECONDS = 0.5


async def certificate(pool: Pool, work: v1.Work, timeout: float) -> AsyncGenerator[v1.WorkResult, None]:
    """Has pieces of a certificate made, one after the other, until it is complete or its time is over.

    The deadline completes it with the draws so far, also where a piece comes too late. The first piece is admitted like
    any other work; those that follow wait where the queue is full, for what was begun shall be finished.

    Args:
        pool: Where the pieces are made.
        work: The first piece.
        timeout: Seconds until the deadline.

    Yields:
        What was answered to each piece, with its own computing time; `certified.state` is "running" but in the last.

    Raises:
        WhyboxError: A piece failed, or time was over before the class was chosen.
    """
    end = time.monotonic() + timeout - _RESERVE_SECONDS
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
    """What a worker answers; raises also what it says itself of the whole piece or of the part."""
    try:
        async with asyncio.timeout(end - time.monotonic()):
            result = await _admitted(pool, work, end)
    except TimeoutError:
        raise DeadlineExceededError("the deadline passed before the class was chosen; allow more time") from None
    for status in (result.status, result.response.certified.status):
        if status.code != code_pb2.OK:
            raise error_from_status(status)
    return result


async def _admitted(pool: Pool, work: v1.Work, end: float) -> v1.WorkResult:
    while True:
        try:
            return await pool.submit(work, end - time.monotonic())
        except OverloadedError:
            if not work.HasField("smoothing"):
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


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
