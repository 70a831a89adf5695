"""Workers that take as long as a test says, in virtual time, and stop where real ones would."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from whybox import v1
from whybox.v1.errors import WhyboxError

PASS_SECONDS = 0.1
SLICE_SECONDS = 1.0


class FakeStation:
    """One worker, which does its work pass by pass.

    Attributes:
        seconds: By request id, how long its work takes.
        errors: By request id, what befalls the worker at the next passes of that work.
        spans: Request id of each slice, in order, with the times of its beginning and end.
        kept: By ticket, the request id and the seconds left of unfinished work.
    """

    def __init__(self, name: str = "m-analyze-1", places: int = 1) -> None:
        self.name = name
        self.workers = 1
        self.places = places
        self.state = "ready"
        self.seconds: dict[str, float] = {}
        self.errors: dict[str, list[WhyboxError]] = {}
        self.spans: list[tuple[str, float, float]] = []
        self.kept: dict[str, tuple[str, float]] = {}
        self.most = 0
        self._held = 0
        self._busy = asyncio.Lock()
        self._pause_paths: dict[str, Path] = {}
        self._changed: Callable[[], None] = lambda: None

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def is_stopped(self) -> bool:
        return self.state == "stopped"

    def watched_by(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def become(self, state: str) -> None:
        """Changes its state; one that is not ready has lost what it kept."""
        self.state = state
        if state != "ready":
            self.kept.clear()
        self._changed()

    @property
    def order(self) -> list[str]:
        """Who had a slice, without repetitions in a row."""
        ids = [request_id for request_id, *_ in self.spans]
        return [request_id for place, request_id in enumerate(ids) if place == 0 or ids[place - 1] != request_id]

    async def do(self, work: v1.Work) -> v1.WorkResult:
        self._held += 1
        self.most = max(self.most, self._held)
        try:
            async with self._busy:
                return await self._slice(work)
        finally:
            self._held -= 1

    async def _slice(self, work: v1.Work) -> v1.WorkResult:
        if work.go_on and work.ticket not in self.kept:
            return v1.WorkResult(unknown_ticket=True)
        request_id, left = self.kept.pop(
            work.ticket, (work.request_id, self.seconds.get(work.request_id, PASS_SECONDS))
        )
        loop = asyncio.get_running_loop()
        began = loop.time()
        whole = self.seconds.get(request_id, PASS_SECONDS)
        if not work.go_on and work.ticket:
            self._pause_paths[work.ticket] = Path(work.pause_path)
        while left > 1e-9:
            await asyncio.sleep(min(PASS_SECONDS, left))
            if self.errors.get(request_id):
                raise self.errors[request_id].pop(0)
            left -= min(PASS_SECONDS, left)
            stops = loop.time() - began >= SLICE_SECONDS - 1e-9 or self._pause_paths.get(work.ticket, Path()).is_file()
            if left > 1e-9 and work.ticket and stops:
                break
        self.spans.append((request_id, began, loop.time()))
        spent = 1000 * (whole - left)
        if left > 1e-9:
            self.kept[work.ticket] = request_id, left
            return v1.WorkResult(kept=True, compute_ms=spent)
        return v1.WorkResult(response=v1.AnalyzeResponse(request_id=request_id), compute_ms=spent, final=True)
