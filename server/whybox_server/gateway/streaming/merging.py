"""Several asynchronous generators as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merged(sources: Sequence[AsyncGenerator[T, None]], first: int = 0) -> AsyncGenerator[T, None]:
    """What the sources yield, as soon as they do; each runs in a task of its own, also while the caller reads nothing.

    An exception of a source is raised in its turn. When this ends, however it ends, all sources have ended.

    Args:
        sources: Not yet begun.
        first: How many of them, from the beginning, come to their ends before the others are heard.
    """
    tasks: list[asyncio.Task[None]] = []
    heard: list[tuple[asyncio.Queue[T | asyncio.Task[None]], int]] = []
    for group in (sources[:first], sources[first:]):
        queue: asyncio.Queue[T | asyncio.Task[None]] = asyncio.Queue()
        heard.append((queue, len(group)))
        for source in group:
            task = asyncio.create_task(_drain(source, queue))
            # A task that stands in the queue itself has ended.
            task.add_done_callback(queue.put_nowait)
            tasks.append(task)
    try:
        for queue, running in heard:
            while running:
                item = await queue.get()
                if isinstance(item, asyncio.Task):
                    item.result()
                    running -= 1
                else:
                    yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(source: AsyncGenerator[T, None], queue: "asyncio.Queue[T | asyncio.Task[None]]") -> None:
    async with aclosing(source):
        async for item in source:
            queue.put_nowait(item)
