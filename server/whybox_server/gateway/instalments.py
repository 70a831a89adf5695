"""Work that a worker does in pieces: other work gets its turn in between, and the caller sees it grow."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, UnavailableError, error_from_status
from whybox_server.gateway.deadlines import Deadline
from whybox_server.gateway.pools import Pool

_LATE = "the deadline passed before the work was done; allow more time, or ask for less"
# Pause before a piece is asked for again that no worker could make.
_PAUSE_SECONDS = 0.5


async def in_instalments(
    pool: Pool, work: v1.Work, deadline: Deadline, caller: str
) -> AsyncGenerator[v1.WorkResult, None]:
    """Has work done, piece after piece until a result is final.

    Most work is done in one piece. The deadline ends other work with what `WorkResult.so_far` tells by then, also where
    a piece comes too late. The first piece fails as any work does where the queue is full or a worker dies. The pieces
    that follow are asked for again: what earlier pieces found is here, and what was begun shall be finished.

    Args:
        pool: Where the pieces are made.
        work: The first piece.
        deadline: Of the call.
        caller: Who asks.

    Yields:
        The result of each piece, with its own computing time; the last one is final.

    Raises:
        WhyboxError: A piece failed, or time was over before there was anything to answer.
    """
    async with deadline.awaited(_LATE):
        result = await _submitted(pool, work, deadline, caller)
    so_far: v1.AnalyzeResponse | None = None
    while not result.final:
        if result.HasField("so_far"):
            so_far = result.so_far
        work = _next(work, result.resume)
        yield result
        try:
            result = await _piece(pool, work, deadline, caller)
        except DeadlineExceededError:
            if so_far is None:
                raise
            result = v1.WorkResult(response=so_far, final=True, cut_short=True)
    yield result


async def _piece(pool: Pool, work: v1.Work, deadline: Deadline, caller: str) -> v1.WorkResult:
    """What a worker answers, asked as often as it takes until one can."""
    async with deadline.awaited(_LATE):
        while True:
            try:
                result = await _submitted(pool, work, deadline, caller)
                for status in part_statuses(result.response):
                    _check(status)
                return result
            except UnavailableError:
                await asyncio.sleep(_PAUSE_SECONDS)


async def _submitted(pool: Pool, work: v1.Work, deadline: Deadline, caller: str) -> v1.WorkResult:
    deadline.stamp(work)
    result = await pool.submit(work, caller)
    _check(result.status)
    return result


def _check(status: Status) -> None:
    """Raises what a worker says of the work, or of a part of it."""
    if status.code != code_pb2.OK:
        raise error_from_status(status)


def part_statuses(response: v1.AnalyzeResponse) -> Iterator[Status]:
    """How each part of an answer ended, one for each entry of a repeated part."""
    for field, part in response.ListFields():
        if field.message_type is not None and "status" in field.message_type.fields_by_name:
            yield from (entry.status for entry in (part if field.is_repeated else [part]))


def _next(work: v1.Work, resume: bytes) -> v1.Work:
    following = v1.Work()
    following.CopyFrom(work)
    following.resume = resume
    return following
