"""Upgrade without downtime: a second TorchServe with what the store holds now takes the place of the first.

At most two run at a time. The first one ends when the calls that it had at the switch are answered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from whybox import v1
from whybox_server.cli.notes import Notes
from whybox_server.gateway import pools
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.monitoring.readiness import is_ready
from whybox_server.settings import Settings
from whybox_server.validation.archives import ArchiveError, read_store
from whybox_server.validation.traffic import TrafficError, check_traffic, read_traffic

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
# Two TorchServes at a time must not write the same files.
_SECOND_LOGS = "second"


class Backend(pools.Backend, Protocol):
    """A backend that runs; see `torchserve.backend.Backend`."""

    async def drained(self, timeout: float) -> None:
        """Tells that the server is stopping, and waits until no work is in flight."""

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Its processes run inside of the block."""


Launch = Callable[[Mapping[Path, v1.Model], Settings], Backend]
"""Makes a backend, which does not run yet, for archives."""


class Running:
    """One deployment, its backend and its open files.

    Args:
        settings: What to read, and where to log.
        launch: Makes its backend.

    Raises:
        ArchiveError: There is no model to serve.
        TrafficError: The weights of versions are wrong.
    """

    def __init__(self, settings: Settings, launch: Launch) -> None:
        archives = read_store(settings.model_store, settings.models)
        traffic = read_traffic(settings.traffic)
        check_traffic(traffic, archives.values())
        self._files = contextlib.ExitStack()
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.log_dir = settings.log_dir
        self.backend = launch(archives, settings)
        audits = self._files.enter_context(AuditFiles(archives))
        self.deployment = Deployment(archives.values(), self.backend, audits, traffic)

    def start(self) -> None:
        """Starts its backend."""
        self._task = asyncio.create_task(self._run())

    async def until_ready(self) -> None:
        """Waits until every pool can answer.

        Raises:
            Exception: Its backend failed; the error is the backend's own.
        """
        while not is_ready(self.deployment.readiness()):
            await self.failed(_POLL_SECONDS)

    async def failed(self, timeout: float | None = None) -> None:
        """Waits at most `timeout` seconds for its backend to fail; for ever without them.

        Raises:
            Exception: It failed; the error is the backend's own.
        """
        if self._task is None:
            raise RuntimeError("it was not started")
        await asyncio.wait([self._task], timeout=timeout)
        if self._task.done():
            self._task.result()

    async def end(self) -> None:
        """Ends its backend, and closes its files.

        Raises:
            Exception: Its backend failed, now or before; the error is the backend's own.
        """
        self._end.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            self._files.close()

    async def _run(self) -> None:
        async with self.backend.running():
            await self._end.wait()


class Upgrades:
    """Keeps a deployment running, and puts another in its place when asked to.

    Args:
        settings: Of the server; the store and a file of weights are read anew for each upgrade.
        launch: Makes backends.
        gateway: Serves what is ready.
        first: What the gateway serves; not started yet.
        notes: Are told of each upgrade.
    """

    def __init__(self, settings: Settings, launch: Launch, gateway: Gateway, first: Running, notes: Notes) -> None:
        self._settings = settings
        self._launch = launch
        self._gateway = gateway
        self._current = first
        self._notes = notes
        self._running = [first]
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Has the store read anew, after an upgrade that goes on; asked for twice by then, it is done once."""
        self._asked.set()

    async def serve(self, stop: asyncio.Event, leave: Callable[[], Awaitable[None]], ready: Callable[[], None]) -> None:
        """Runs everything until `stop`, then waits for calls in flight as the settings say; nothing remains.

        Args:
            stop: Ends it.
            leave: Ends what is not waited for, once it stops.
            ready: Called once the first deployment can answer.

        Raises:
            Exception: The backend that serves failed; the error is the backend's own.
        """
        self._current.start()
        stopping = asyncio.create_task(stop.wait())
        working = asyncio.create_task(self._work(ready))
        try:
            await asyncio.wait([stopping, working], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            _log.info("stopping")
            await leave()
            await _cancelled(working)
            drain = self._settings.drain_seconds
            await asyncio.gather(*(running.backend.drained(drain) for running in self._running))
        finally:
            await _cancelled(stopping)
            await _cancelled(working)
            await asyncio.gather(*(running.end() for running in self._running))

    async def _work(self, ready: Callable[[], None]) -> None:
        await self._current.until_ready()
        ready()
        while True:
            await self._until_asked()
            self._asked.clear()
            await self._upgrade()

    async def _until_asked(self) -> None:
        asked, failed = asyncio.create_task(self._asked.wait()), asyncio.create_task(self._current.failed())
        try:
            await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
        finally:
            await _cancelled(asked)
            await _cancelled(failed)

    async def _upgrade(self) -> None:
        """Puts what the store holds now in the place of what is served; if that fails, what is served goes on."""
        self._notes.begins()
        _log.info("reloading %s", self._settings.model_store)
        try:
            new = Running(self._settings.model_copy(update={"log_dir": self._free_logs()}), self._launch)
        except (ArchiveError, OSError, TrafficError) as error:
            self._failed(error)
            return
        self._running.append(new)
        new.start()
        try:
            await new.until_ready()
        except Exception as error:  # noqa: BLE001 (whatever it is, what is served goes on)
            self._failed(error)
            with contextlib.suppress(Exception):
                await new.end()
            self._running.remove(new)
            return
        self._gateway.switch(new.deployment)
        old, self._current = self._current, new
        served = ", ".join(f"{model.name} {model.version}" for model in new.deployment.models)
        _log.info("reloaded; new requests go to: %s", served)
        self._notes.ends()
        # No call lasts longer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.max_timeout):
                await old.deployment.idle()
        await self._end(old)
        _log.info("the TorchServe before the reload has ended")

    def _free_logs(self) -> Path:
        first, second = self._settings.log_dir, self._settings.log_dir / _SECOND_LOGS
        return second if self._current.log_dir == first else first

    def _failed(self, error: Exception) -> None:
        _log.error("the reload failed, and what was served before is served on: %s", error)
        self._notes.ends(str(error) or type(error).__name__)

    async def _end(self, running: Running) -> None:
        """Ends what does not serve; should that fail, what serves goes on."""
        try:
            await running.end()
        except Exception as error:  # noqa: BLE001
            _log.warning("a TorchServe that served no more has failed: %s", error)
        self._running.remove(running)


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancels a task and waits until it is gone; its error, if it has one, is known already."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
