"""The run of an audit: it keeps what earlier runs measured and starts processes for the rest."""

import hashlib
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.journal import Journal, Record
from whybox_server.audits.passes.workers import Work, end_with_parent, measure_batch

# Pictures per batch. On a GPU the pictures of a batch share passes, so the last bits of a result depend on the others
# in the batch. A CPU gains nothing from larger batches.
_BATCH_SIZE = {"cpu": 1, "cuda": 32}
# One batch is measured while the next one waits, so that no process is idle.
_BATCHES_PER_WORKER = 2
_POLL_SECONDS = 0.2
# The audit gives up when the attack fails on this many pictures before it succeeds on one.
_MAX_FAILURES_AT_START = 5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Pictures(Protocol):
    """What a pass measures."""

    def __len__(self) -> int:
        """The number of pictures."""

    def pictures(self) -> Iterator[Labelled]:
        """The pictures, in the same order each time; their keys are different."""


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
    work: Work, data: Pictures, journal: Journal, workers: int, report: Callable[[Progress, Sequence[Record]], None]
) -> Progress:
    """Measures the pictures that the journal does not hold yet.

    Only the pictures that are being measured are in memory. Call it from the main thread: it handles SIGINT and SIGTERM
    while it runs.

    Args:
        work: The model and the options of the attack.
        data: The pictures.
        journal: Holds the records of earlier runs; afterwards it has one of each picture.
        workers: Number of processes, at least 1.
        report: Called with the progress and with the records that are new since its last call, at first with those of
            earlier runs.

    Returns:
        The progress at the end.

    Raises:
        AuditError: A process died, or the attack failed on all pictures or on the first five.
        InterruptedAuditError: SIGINT or SIGTERM arrived. The journal keeps the records made until then.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read, or a record cannot be written.
    """
    total, kept = len(data), 0
    stop, attempts = _Stop(), _Attempts(journal.path)
    with stop.noted():
        for picture in data.pictures():
            record = _kept(work, journal, picture)
            if record is None:
                journal.forget(picture.key)
                continue
            kept += 1
            attempts.note(record)
            report(Progress(kept, total, kept), [record])
            stop.check()
        done = kept
        report(Progress(done, total, kept), ())
        todo = (picture for picture in data.pictures() if picture.key not in journal)
        with closing(_measured(work, todo, total - kept, workers, stop)) as measured:
            for records in measured:
                journal.append(records)
                done += len(records)
                report(Progress(done, total, kept), records)
                for record in records:
                    attempts.note(record)
                attempts.check(_MAX_FAILURES_AT_START)
    attempts.check(1)
    return Progress(done, total, kept)


def _kept(work: Work, journal: Journal, picture: Labelled) -> Record | None:
    """The record of an earlier run, unless the picture or its label has changed since or the attack failed on it."""
    if picture.key not in journal:
        return None
    record = journal[picture.key]
    if record.failed or record.label != picture.label:
        return None
    digest = hashlib.sha256((work.folder / picture.file).read_bytes()).hexdigest()
    return record if record.sha256 == digest else None


class _Attempts:
    """How the attack fared on the pictures so far.

    Args:
        path: The journal, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._succeeded = False
        self._failed, self._error = 0, ""

    def note(self, record: Record) -> None:
        """Counts a record."""
        # A picture with a wrong prediction is not attacked and says nothing about the attack. One whose logits are kept
        # is not to be attacked.
        self._succeeded |= bool(record.norms or record.logits)
        if record.failed:
            self._failed, self._error = self._failed + 1, record.error

    def check(self, limit: int) -> None:
        """Raises AuditError if at least `limit` pictures failed and the attack succeeded on none."""
        if self._failed >= limit and not self._succeeded:
            fault = f"no attack succeeded, and {self._failed} pictures failed, the last one with {self._error}"
            where = f"the tracebacks are in the table pictures of {self._path}"
            raise AuditError(f"{fault}; {where}; the same command tries these pictures again")


def _measured(
    work: Work, pictures: Iterable[Labelled], number: int, workers: int, stop: "_Stop"
) -> Generator[list[Record]]:
    """The records of each batch, as soon as a process has measured it.

    Args:
        work: The model and the options of the attack.
        pictures: The pictures; they are fetched as they are needed.
        number: How many they are.
        workers: Number of processes, at least 1.
        stop: Notes signals.
    """
    if not number:
        return
    size = _BATCH_SIZE[work.device]
    workers = min(workers, -(-number // size))
    # Forked processes would inherit locks that threads of this process hold.
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)
    waiting = iter(pictures)
    running: set[Future[list[Record]]] = set()
    try:
        while True:
            while len(running) < workers * _BATCHES_PER_WORKER and (batch := list(islice(waiting, size))):
                with _signals_blocked():
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
