"""The walk of an audit: what is measured already, what is still to do, and the processes that do it."""

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
from whybox_server.audits.workers import Work, begin, measure

# Pictures that a process takes together: on a GPU they share passes, and the last bits depend on who else is there; a
# processor gains nothing by it.
_TOGETHER = {"cpu": 1, "cuda": 32}
# So that no process waits for its next pictures.
_QUEUED_PER_WORKER = 2
_POLL_SECONDS = 0.2
# What fails on so many pictures before the attack succeeds on any would fail on all.
_HOPELESS = 5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class AuditError(Exception):
    """The audit cannot go on; says what to do."""


class InterruptedAuditError(Exception):
    """Somebody asked the audit to stop.

    Attributes:
        signal: By which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@dataclass(frozen=True)
class Progress:
    """How far an audit is.

    Attributes:
        done: Pictures measured, those of earlier runs included.
        total: Pictures to measure.
        kept: Of `done`, those of earlier runs.
    """

    done: int
    total: int
    kept: int


def audit(
    work: Work, data: DataSet, journal: Journal, workers: int, report: Callable[[Progress, Sequence[Record]], None]
) -> list[Record]:
    """Measures what is not in the journal yet. Call it from the main thread.

    Args:
        work: How.
        data: What.
        journal: Holds what is measured, and gets the rest.
        workers: Processes, at least 1.
        report: Told how far it is, with what was measured since it was last told; first of all with what is kept.

    Returns:
        The records of `data.pictures`, in their order, whoever measured them when.

    Raises:
        AuditError: A process died, or it fails on all pictures, or on the first few.
        InterruptedAuditError: SIGINT or SIGTERM came; the journal holds what was done by then.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read, or a record not be written.
    """
    kept = [record for picture in data.pictures if (record := _kept(work, journal, picture)) is not None]
    have = {record.file for record in kept}
    todo = [picture for picture in data.pictures if picture.file not in have]
    done = len(kept)
    report(Progress(done, len(data.pictures), len(kept)), kept)
    known = list(kept)
    size = _TOGETHER[work.device]
    batches = [todo[start : start + size] for start in range(0, len(todo), size)]
    with closing(_measured(work, batches, workers)) as measured:
        for records in measured:
            for record in records:
                journal.append(record)
            done += len(records)
            report(Progress(done, len(data.pictures), len(kept)), records)
            known += records
            _check_hope(known, _HOPELESS, journal.path)
    _check_hope(known, 1, journal.path)
    return [journal.records[picture.file] for picture in data.pictures]


def _kept(work: Work, journal: Journal, picture: Labelled) -> Record | None:
    """The record of a picture that has neither changed nor got another label since, and on which nothing failed."""
    record = journal.records.get(picture.file)
    if record is None or record.failed or record.label != picture.label:
        return None
    digest = hashlib.sha256((work.folder / picture.file).read_bytes()).hexdigest()
    return record if record.sha256 == digest else None


def _check_hope(records: Sequence[Record], few: int, path: Path) -> None:
    """Raises AuditError where it failed on so many pictures at least, and the attack succeeded on none."""
    # A prediction that is wrong says nothing of the attack.
    if any(record.norms for record in records):
        return
    errors = [record.error for record in records if record.failed]
    if len(errors) >= few:
        told = f"no picture could be attacked, and {len(errors)} failed, the last one with {errors[-1]}"
        raise AuditError(f"{told}; {path} has the tracebacks, and the same command tries again")


def _measured(work: Work, batches: Sequence[Sequence[Labelled]], workers: int) -> Generator[list[Record]]:
    """The records of each batch, as soon as some process has them."""
    if not batches:
        return
    workers = min(workers, len(batches))
    stop = _Stop()
    # Forked processes would share the locks of this one's threads.
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=begin)
    waiting = iter(batches)
    running: set[Future[list[Record]]] = set()
    with stop.heeded():
        try:
            while True:
                for batch in waiting:
                    with _deaf_children():
                        running.add(executor.submit(measure, work, batch))
                    if len(running) >= workers * _QUEUED_PER_WORKER:
                        break
                if not running:
                    return
                done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                stop.check()
        except BrokenProcessPool as error:
            remedy = "perhaps memory ran out; the same command goes on, with fewer --workers if need be"
            raise AuditError(f"a process that measures died; {remedy}") from error
        finally:
            _end(executor)


class _Stop:
    """Turns the signals that stop a process into an exception where it does no harm, instead of anywhere."""

    def __init__(self) -> None:
        self._number: int | None = None

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Takes the signals."""
        before = {number: signal.signal(number, self._note) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raises InterruptedAuditError where one came."""
        if self._number is not None:
            raise InterruptedAuditError(self._number)

    def _note(self, number: int, _frame: object) -> None:
        self._number = number


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started meanwhile never see the signals: Ctrl-C reaches all of them, and only this one shall answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(executor: ProcessPoolExecutor) -> None:
    """Ends the processes without waiting for the pictures that they are at."""
    # Python 3.14 has a method for this, `kill_workers`.
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(cancel_futures=True)
