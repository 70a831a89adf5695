"""Items of several sources in one stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from server.waiting import settle
from whybox_server.gateway.streaming.merging import merged


class Source:
    """Yields its items, or raises those that are exceptions; each when it is let go on."""

    def __init__(self, *items: object) -> None:
        self._items = items
        self._turn = asyncio.Semaphore(0)
        self.ended = False

    def go_on(self, times=1):
        for _ in range(times):
            self._turn.release()

    async def items(self):
        try:
            for item in self._items:
                await self._turn.acquire()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            await asyncio.sleep(0)  # the reader that ends it waits for its end
            self.ended = True


class Heard:
    """What is heard of some sources, as it comes."""

    def __init__(self, *sources, first=0):
        self.items = []
        self.task = asyncio.create_task(self._hear([source.items() for source in sources], first))

    async def _hear(self, sources, first):
        async with aclosing(merged(sources, first)) as items:
            async for item in items:
                self.items.append(item)


async def test_items_are_heard_as_they_come():
    a, b = Source(1, 2), Source("x", "y")
    heard = Heard(a, b)
    for source, items in ((b, ["x"]), (a, ["x", 1]), (a, ["x", 1, 2]), (b, ["x", 1, 2, "y"])):
        source.go_on()
        await settle()
        assert heard.items == items
    await heard.task


@pytest.mark.parametrize(("first", "items"), [(0, "zyab"), (1, "abzy"), (2, "yabz"), (3, "zyab")])
async def test_nothing_comes_before_the_first_have_ended(first, items):
    sources = [Source("a", "b"), Source("y"), Source("z")]
    heard = Heard(*sources, first=first)
    for source in reversed(sources):
        source.go_on(2)
        await settle()
    await heard.task
    assert "".join(heard.items) == items


async def test_sources_go_on_without_a_reader():
    source = Source(1, 2, 3)
    async with aclosing(merged([source.items()])) as items:
        source.go_on(3)
        assert await anext(items) == 1
        await settle()
        assert source.ended
        assert [item async for item in items] == [2, 3]


async def test_an_error_ends_all():
    failing, other = Source(1, ValueError("m")), Source("x")
    heard = Heard(failing, other)
    failing.go_on(2)
    with pytest.raises(ValueError, match="m"):
        await heard.task
    assert heard.items == [1]
    assert failing.ended
    assert other.ended


async def test_an_error_has_its_turn():
    first, failing = Source("a"), Source(ValueError("m"))
    heard = Heard(first, failing, first=1)
    failing.go_on()
    await settle()
    assert not heard.task.done()
    first.go_on()
    with pytest.raises(ValueError, match="m"):
        await heard.task
    assert heard.items == ["a"]


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_reader_that_stops_ends_all(taken):
    sources = [Source(1, 2), Source("x")]
    items = merged([source.items() for source in sources])
    sources[0].go_on()
    for _ in range(taken):
        await anext(items)
    await items.aclose()
    # What was never begun has nothing to end.
    assert [source.ended for source in sources] == [bool(taken)] * 2


async def test_no_sources_are_no_items():
    sources: list[AsyncGenerator[int, None]] = []
    assert [item async for item in merged(sources)] == []
