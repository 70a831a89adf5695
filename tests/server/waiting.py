"""Waiting for what other tasks do, without watching the clock."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits for what shall become true by itself.

    Raises:
        TimeoutError: It has not after `seconds`, in which it does even on a busy machine.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def settle() -> None:
    """Lets all tasks go on until they wait for something from outside."""
    for _ in range(20):
        await asyncio.sleep(0)
