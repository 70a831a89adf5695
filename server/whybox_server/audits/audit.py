"""The run of an audit: it keeps what earlier runs measured and starts processes for the rest."""

import hashlib
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from whybox_server.audits.dataset import DataSet, Labelled
from whybox_server.audits.journal import Journal, Record
from whybox_server.audits.workers import Work, end_with_parent, measure_batch

# Pictures per batch. On a GPU the pictures of a batch share passes, so the last bits of a result depend on the others
# in the batch. A CPU gains nothing from larger batches.
_BATCH_SIZE = {"cpu": 1, "cuda": 32}
# One batch is measured while the next one waits, so that no process is idle.
_BATCHES_PER_WORKER = 2
_POLL_SECONDS = 0.2
# The audit gives up when the attack fails on this many pictures before it succeeds on one.
_MAX_FAILURES_AT_START = 5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class AuditError(Exception):
    """The audit cannot go on; the message says what to do."""


class InterruptedAuditError(Exception):
    """A signal stopped the audit.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@dataclass(frozen=True)
class Progress:
    """How far an audit is.

    Attributes:
        done: Pictures measured by this run and by earlier runs.
        total: Pictures of the data set.
        kept: Pictures measured by earlier runs; part of `done`.
    """

    done: int
    total: int
    kept: int


def measure_pictures(
    work: Work, data: DataSet, journal: Journal, workers: int, report: Callable[[Progress, Sequence[Record]], None]
) -> list[Record]:
    """Measures the pictures that the journal does not hold yet.

    Call it from the main thread: it handles SIGINT and SIGTERM while it runs.

    Args:
        work: The model and the options of the attack.
        data: The pictures.
        journal: Holds the records of earlier runs; new records are appended to it.
        workers: Number of processes, at least 1.
        report: Called with the progress and with the records that are new since its last call; the first call has the
            records of earlier runs.

    Returns:
        The records of `data.pictures`, in the same order, from this run and from earlier runs.

    Raises:
        AuditError: A process died, or the attack failed on all pictures or on the first five.
        InterruptedAuditError: SIGINT or SIGTERM arrived. The journal keeps the records made until then.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read, or a record cannot be written.
    """
    kept = [record for picture in data.pictures if (record := _kept(work, journal, picture)) is not None]
    have = {record.file for record in kept}
    todo = [picture for picture in data.pictures if picture.file not in have]
    done = len(kept)
    report(Progress(done, len(data.pictures), len(kept)), kept)
    known = list(kept)
    size = _BATCH_SIZE[work.device]
    batches = [todo[start : start + size] for start in range(0, len(todo), size)]
    with closing(_measured(work, batches, workers)) as measured:
        for records in measured:
            for record in records:
                journal.append(record)
            done += len(records)
            report(Progress(done, len(data.pictures), len(kept)), records)
            known += records
            _check_failures(known, _MAX_FAILURES_AT_START, journal.path)
    _check_failures(known, 1, journal.path)
    return [journal.records[picture.file] for picture in data.pictures]


def _kept(work: Work, journal: Journal, picture: Labelled) -> Record | None:
    """The record of an earlier run, unless the picture or its label has changed since or the attack failed on it."""
    record = journal.records.get(picture.file)
    if record is None or record.failed or record.label != picture.label:
        return None
    digest = hashlib.sha256((work.folder / picture.file).read_bytes()).hexdigest()
    return record if record.sha256 == digest else None


def _check_failures(records: Sequence[Record], limit: int, path: Path) -> None:
    """Raises AuditError if at least `limit` pictures failed and the attack succeeded on none."""
    # A picture with a wrong prediction is not attacked and says nothing about the attack.
    if any(record.norms for record in records):
        return
    errors = [record.error for record in records if record.failed]
    if len(errors) >= limit:
        fault = f"no attack succeeded, and {len(errors)} pictures failed, the last one with {errors[-1]}"
        raise AuditError(f"{fault}; see the tracebacks in {path}; the same command tries these pictures again")


def _measured(work: Work, batches: Sequence[Sequence[Labelled]], workers: int) -> Generator[list[Record]]:
    """The records of each batch, as soon as a process has measured it."""
    if not batches:
        return
    workers = min(workers, len(batches))
    stop = _Stop()
    # Forked processes would inherit locks that threads of this process hold.
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)
    waiting = iter(batches)
    running: set[Future[list[Record]]] = set()
    with stop.noted():
        try:
            while True:
                for batch in waiting:
                    with _signals_blocked():
                        running.add(executor.submit(measure_batch, work, batch))
                    if len(running) >= workers * _BATCHES_PER_WORKER:
                        break
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


class _Stop:
    """Notes the signals that stop a process, so that they raise an exception only between batches."""

    def __init__(self) -> None:
        self._number: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handles the signals inside the block; restores the handlers afterwards."""
        before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raises InterruptedAuditError if a signal has arrived."""
        if self._number is not None:
            raise InterruptedAuditError(self._number)

    def _note(self, number: int, _frame: object) -> None:
        self._number = number


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Blocks the signals in processes started inside the block.

    Ctrl-C reaches all processes of a terminal, and only this one must handle it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(executor: ProcessPoolExecutor) -> None:
    """Ends the processes without waiting for the pictures that they measure."""
    # Python 3.14 has a method for this, `kill_workers`.
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(cancel_futures=True)
