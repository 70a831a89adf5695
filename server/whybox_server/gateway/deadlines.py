"""Ending before the caller's deadline, whatever the workers do: what was found by then still reaches the caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from whybox.v1.errors import DeadlineExceededError

RESERVE_SECONDS = 0.1
"""Kept back before the deadline, for the answer to reach the caller."""


@asynccontextmanager
async def ending_within(seconds: float, message: str) -> AsyncIterator[None]:
    """Runs its body for so many seconds at most; without any left the body is not begun.

    Args:
        seconds: From now.
        message: What to say where they were too few.

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
