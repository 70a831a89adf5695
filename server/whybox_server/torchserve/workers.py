"""The worker processes of one pool: how much memory they hold, and their end."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from whybox import v1

_log = logging.getLogger(__name__)

# Two processes compute the start of a third one apart while the clock is being set.
_SAME_MS = 5000


@dataclass(frozen=True)
class _Process:
    pid: int
    generation: int


class Workers:
    """The processes that have answered, as far as they live.

    Args:
        pool: Name of the pool, for the log.
        memory_bytes: A process that holds more is ended; TorchServe starts another.
        nice: Niceness of its processes, from 0; the higher, the more they leave the cores to others.
    """

    def __init__(self, pool: str, memory_bytes: int, nice: int = 0) -> None:
        self._pool = pool
        self._memory_bytes = memory_bytes
        self._nice = nice
        # By process, when it answered last.
        self._answered: dict[_Process, float] = {}

    def note(self, worker: v1.Worker) -> None:
        """A process has answered."""
        if not worker.pid:
            return
        known = _Process(worker.pid, worker.generation)
        if known not in self._answered and self._nice:
            # The process may have ended meanwhile.
            with contextlib.suppress(psutil.Error, OSError):
                for thread in psutil.Process(known.pid).threads():
                    os.setpriority(os.PRIO_PROCESS, thread.id, self._nice)
        self._answered[known] = time.monotonic()

    def end_large(self) -> None:
        """Ends each process that holds too much memory."""
        for known, process in self._living():
            try:
                resident = process.memory_info().rss
            except psutil.NoSuchProcess:
                # It ended just now.
                continue
            if resident > self._memory_bytes:
                self._end(
                    known,
                    process,
                    f"holds {resident / 2**20:,.0f} MiB, more than the {self._memory_bytes / 2**20:,.0f} MiB of"
                    " WHYBOX_WORKER_MEMORY",
                )

    def end_silent(self) -> None:
        """Ends the process that has not answered for longest."""
        living = sorted(self._living(), key=lambda each: self._answered[each[0]])
        for known, process in living[:1]:
            self._end(known, process, "does not answer, although the deadline of its work has long passed")

    def _living(self) -> Iterator[tuple[_Process, psutil.Process]]:
        """The processes that live; others are forgotten."""
        for known in list(self._answered):
            try:
                process = psutil.Process(known.pid)
                # Another process may have the same id by now.
                if abs(1000 * process.create_time() - known.generation) < _SAME_MS:
                    yield known, process
                    continue
            except psutil.NoSuchProcess:
                pass
            self._answered.pop(known, None)

    def _end(self, known: _Process, process: psutil.Process, why: str) -> None:
        _log.warning("worker %d of %s %s; it is ended, and another takes its place", known.pid, self._pool, why)
        self._answered.pop(known, None)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
