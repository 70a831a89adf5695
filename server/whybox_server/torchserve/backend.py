"""TorchServe kept alive: restarted when it ends or when a pool stays dead, with its pools reconnected."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import grpc

from whybox import v1
from whybox_server.gateway.pools import PoolKind
from whybox_server.gateway.queueing.dispatcher import Dispatcher
from whybox_server.monitoring.readiness import STOPPING, Load
from whybox_server.settings import Settings
from whybox_server.torchserve.config import max_message_bytes, registered
from whybox_server.torchserve.folders import FolderError
from whybox_server.torchserve.process import TorchServeProcess
from whybox_server.torchserve.reasons import failure_reason
from whybox_server.torchserve.station import Station, StationState

_log = logging.getLogger(__name__)

# TorchServe restarts dead workers itself, with growing pauses, and in the end gives up.
_STUCK_SECONDS = 120.0
# Pauses before the first, second, ... restart in a row; a TorchServe that got ready starts the row anew.
_BACKOFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
# A TorchServe that was never ready and failed this often in a row will not get ready.
_FIRST_STARTS = 3
_POLL_SECONDS = 0.1
# Seconds that work is taken for before anything ran.
_FIRST_GUESS = {PoolKind.PREDICT: 0.05, PoolKind.ANALYZE: 1.0}
_WATCH_SECONDS = 1.0


class TorchServeError(Exception):
    """TorchServe cannot be started; the message says why and what to do."""


class Backend:
    """The worker pools of all models, by name, version and kind.

    Args:
        archives: Packed models by the path of their archive; all in one folder.
        settings: Sizes of pools, batches and queues.
        restarting: Called each time that TorchServe has ended and is started again.
    """

    def __init__(
        self, archives: Mapping[Path, v1.Model], settings: Settings, restarting: Callable[[], None] = lambda: None
    ) -> None:
        self._archives = archives
        self._settings = settings
        self._restarting = restarting
        self._stopping = False
        self._stations = {
            (model.name, model.version): {
                kind: [
                    Station(
                        each.name,
                        each.workers,
                        each.places,
                        settings.worker_memory,
                        0 if kind is PoolKind.PREDICT else settings.analyze_nice,
                    )
                    for each in registered(model, kind, settings)
                ]
                for kind in PoolKind
            }
            for model in archives.values()
        }
        self._pools = {
            named: {kind: _pool("-".join((*named, kind)), kind, stations, settings) for kind, stations in kinds.items()}
            for named, kinds in self._stations.items()
        }

    def pool(self, model: v1.Model, kind: PoolKind) -> Dispatcher:
        """One pool of a served model."""
        return self._pools[model.name, model.version][kind]

    async def drained(self, timeout: float) -> None:
        """Tells that the server is stopping, and waits at most `timeout` seconds until no work is in flight."""
        self._stopping = True
        for station in self._all():
            station.stop()
        pools = [pool for kinds in self._pools.values() for pool in kinds.values()]
        deadline = time.monotonic() + timeout
        while any(pool.in_flight for pool in pools) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    def readiness(self) -> dict[str, dict[str, dict[str, str]]]:
        """State of each pool, by model, version and kind; all are "stopping" once the server is."""
        states: dict[str, dict[str, dict[str, str]]] = {}
        for (name, version), kinds in self._stations.items():
            states.setdefault(name, {})[version] = {
                kind: STOPPING if self._stopping else _state(stations) for kind, stations in kinds.items()
            }
        return states

    def loads(self) -> Iterator[tuple[str, str, str, Load]]:
        """What each pool has to do, with its model, version and kind."""
        for named, kinds in self._pools.items():
            for kind, pool in kinds.items():
                yield *named, kind, pool.load

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps TorchServe running inside; on leaving, nothing of it remains.

        Raises:
            TorchServeError: It failed three times in a row and was never ready, or there is no place for its sockets.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                watchers = [
                    tasks.create_task(self._supervise()),
                    *(tasks.create_task(station.watch()) for station in self._all()),
                    *(tasks.create_task(station.guard()) for station in self._all()),
                ]
                try:
                    yield
                finally:
                    for watcher in watchers:
                        watcher.cancel()
                    await asyncio.wait(watchers)
                    for kinds in self._pools.values():
                        for pool in kinds.values():
                            await pool.close()
        except BaseExceptionGroup as group:
            # A task group wraps even the one exception of its body, which callers would then not recognise.
            [error, *others] = group.exceptions
            if others:
                raise
            raise error from error.__cause__

    def _all(self) -> list[Station]:
        return [station for kinds in self._stations.values() for stations in kinds.values() for station in stations]

    async def _supervise(self) -> None:
        failures, ever_ready, reason = 0, False, ""
        while True:
            if failures >= _FIRST_STARTS and not ever_ready:
                raise TorchServeError(
                    f"TorchServe failed {failures} times in a row: {reason or 'its logs give no reason'}; its logs are"
                    f" in {self._settings.log_dir.resolve()}"
                )
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            started = time.time()
            try:
                process = await TorchServeProcess.start(self._archives, self._settings)
            except FolderError as error:
                raise TorchServeError(str(error)) from error
            except OSError as error:
                _log.error("TorchServe cannot be started: %s", error)
                failures, reason = failures + 1, str(error)
                continue
            try:
                was_ready = await self._live(process)
            finally:
                await process.stop()
            ever_ready = ever_ready or was_ready
            failures = 0 if was_ready else failures + 1
            reason = failure_reason(self._settings.log_dir, started)
            self._restarting()
            _log.error("restarting TorchServe; its logs are in %s", self._settings.log_dir.resolve())

    async def _live(self, process: TorchServeProcess) -> bool:
        """Returns when TorchServe has ended or is beyond recovery; whether it was ever ready."""
        ended = asyncio.create_task(process.wait())
        options = [
            ("grpc.max_send_message_length", max_message_bytes(self._settings)),
            ("grpc.max_receive_message_length", max_message_bytes(self._settings)),
            # `http_proxy` of the environment is not for loopback.
            ("grpc.enable_http_proxy", 0),
        ]
        started = time.monotonic()
        try:
            while (token := process.token()) is None:
                if ended.done():
                    _log.error("TorchServe ended with status %s while it started", ended.result())
                    return False
                if time.monotonic() - started > _STUCK_SECONDS:
                    _log.error("TorchServe did not start within %.0f s", _STUCK_SECONDS)
                    return False
                await asyncio.sleep(_POLL_SECONDS)
            async with grpc.aio.insecure_channel(process.address, options) as channel:
                for station in self._all():
                    station.connect(channel, token)
                try:
                    await self._until_gone(ended)
                finally:
                    # Before the channel closes: no station must call on a closed one.
                    for station in self._all():
                        station.disconnect()
        finally:
            ended.cancel()
        return all(station.was_ready for station in self._all())

    async def _until_gone(self, ended: asyncio.Task[int]) -> None:
        while not ended.done():
            if stuck := [station for station in self._all() if _stuck(station)]:
                _log.error("%d stations gave no answer for %.0f s", len(stuck), _STUCK_SECONDS)
                return
            await asyncio.wait([ended], timeout=_WATCH_SECONDS)
        _log.error("TorchServe ended with status %s", ended.result())


def _pool(name: str, kind: PoolKind, stations: Sequence[Station], settings: Settings) -> Dispatcher:
    predict = kind is PoolKind.PREDICT
    return Dispatcher(
        name,
        stations,
        first_guess=_FIRST_GUESS[kind],
        queue_seconds=settings.predict_queue_seconds if predict else settings.analyze_queue_seconds,
        sliced=not predict,
    )


def _state(stations: Sequence[Station]) -> StationState:
    """Of a pool: ready if any of its workers is."""
    return StationState.READY if any(station.is_ready for station in stations) else stations[0].state


def _stuck(station: Station) -> bool:
    return not station.is_ready and time.monotonic() - station.since > _STUCK_SECONDS
