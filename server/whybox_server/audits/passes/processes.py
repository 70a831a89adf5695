"""The engine that measures pictures in processes of this machine."""

import os
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import Record
from whybox_server.audits.passes.signals import Stop, signals_blocked
from whybox_server.audits.passes.workers import BATCH_SIZE, Work, end_with_parent, measure_batch

# One batch is measured while the next one waits, so that no process is idle.
_BATCHES_PER_WORKER = 2
_POLL_SECONDS = 0.2


def measured_by_processes(
    work: Work, pictures: Iterable[Labelled], number: int, workers: int | None, stop: Stop
) -> Generator[list[Record]]:
    """The records of each batch, as soon as a process has measured it.

    Args:
        work: The model and the options of the attack.
        pictures: The pictures; they are fetched as they are needed.
        number: How many they are.
        workers: Number of processes, at least 1; None for one per core. A GPU is used by one process.
        stop: Notes signals.

    Raises:
        AuditError: A process died.
        InterruptedAuditError: A signal arrived.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read.
    """
    if not number:
        return
    size = BATCH_SIZE[work.device]
    workers = 1 if work.device == "cuda" else min(workers or _cores(), -(-number // size))
    # Forked processes would inherit locks that threads of this process hold.
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)
    waiting = iter(pictures)
    running: set[Future[list[Record]]] = set()
    try:
        while True:
            while len(running) < workers * _BATCHES_PER_WORKER and (batch := list(islice(waiting, size))):
                with signals_blocked():
                    running.add(executor.submit(measure_batch, work, batch))
            if not running:
                return
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            stop.check()
    except BrokenProcessPool as error:
        remedy = "memory may have run out: run the same command again to continue, if need be with fewer --workers"
        raise AuditError(f"a worker process died; {remedy}") from error
    finally:
        _end(executor)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(executor: ProcessPoolExecutor) -> None:
    """Ends the processes without waiting for the pictures that they measure."""
    # Python 3.14 has a method for this, `kill_workers`.
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(cancel_futures=True)
