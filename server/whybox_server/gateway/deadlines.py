"""Ending before the caller's deadline, also when the workers are late: what was found by then reaches the caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from whybox.v1.errors import DeadlineExceededError

RESERVE_SECONDS = 0.1
"""Kept back before the deadline, for the answer to reach the caller."""


def now() -> float:
    """Seconds on the clock of the event loop, by which all deadlines of the gateway are told."""
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def ending_within(seconds: float, message: str) -> AsyncIterator[None]:
    """Runs its body for at most `seconds`; without any left the body is not begun.

    Args:
        seconds: From now.
        message: What the error says.

    Raises:
        DeadlineExceededError: They have passed.
    """
    late = DeadlineExceededError(message)
    if seconds <= 0:
        raise late
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise late from None
