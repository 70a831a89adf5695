"""An event loop whose clock a test turns: it jumps to the next timer instead of waiting for it."""

import asyncio
import functools
import selectors
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec
from unittest import mock

P = ParamSpec("P")


class _Jumping(selectors.DefaultSelector):
    """Never waits: what the loop would wait passes on its clock at once."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("the test waits for what never comes: no timer is set, and no data can arrive")
        self.passed += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time is the sum of what it would have waited; code that computes takes none."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Runs an asynchronous test, which does no input and no output, on a `VirtualTimeLoop`.

    `time.time()` keeps step with the loop.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> Any:
            began, clock = time.time(), asyncio.get_running_loop().time
            with mock.patch.object(time, "time", side_effect=lambda: began + clock()) as told:
                try:
                    return await test(*args, **kwargs)
                finally:
                    # What pytest's monkeypatch puts back after the test would be this clock, which then stands still.
                    assert time.time is told, "a test in virtual time leaves time.time as it is"

        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main())

    return run
