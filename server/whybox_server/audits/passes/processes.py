"""The engine that measures pictures in processes of this machine."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import Record
from whybox_server.audits.passes.signals import Stop, signals_blocked
from whybox_server.audits.passes.workers import BATCH_SIZE, Work, end_with_parent, measure_batch

# One batch is measured while the next one waits, so that no process is idle.
_BATCHES_PER_WORKER = 2
_POLL_SECONDS = 0.2

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    workers = 1 if work.device == "cuda" else min(workers or cores(), -(-number // size))
    yield from in_processes(partial(measure_batch, work), pictures, size, workers, stop)


def in_processes(
    compute: Callable[[Sequence[_Item]], _Result], items: Iterable[_Item], size: int, workers: int, stop: Stop
) -> Generator[_Result]:
    """The result of each batch, in any order, as soon as a process has computed it.

    Args:
        compute: From a batch to its result; it is sent to the processes.
        items: They are fetched as they are needed.
        size: Number of items in a batch, at least 1.
        workers: Number of processes, at least 1.
        stop: Notes signals.

    Raises:
        AuditError: A process died.
        InterruptedAuditError: A signal arrived.
        Exception: What `compute` raises.
    """
    # Forked processes would inherit locks that threads of this process hold.
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)
    waiting = iter(items)
    running: set[Future[_Result]] = set()
    try:
        while True:
            while len(running) < workers * _BATCHES_PER_WORKER and (batch := list(islice(waiting, size))):
                with signals_blocked():
                    running.add(executor.submit(compute, batch))
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


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(executor: ProcessPoolExecutor) -> None:
    """Ends the processes without waiting for the pictures that they measure."""
    # Python 3.14 has a method for this, `kill_workers`.
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(cancel_futures=True)
