"""The run of an audit: it keeps what earlier runs measured and hands the rest to an engine."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.journal import Journal, Record
from whybox_server.audits.passes.processes import measured_by_processes
from whybox_server.audits.passes.signals import Stop
from whybox_server.audits.passes.workers import Work

# The audit gives up when the attack fails on this many pictures before it succeeds on one.
_MAX_FAILURES_AT_START = 5


class Pictures(Protocol):
    """What a pass measures."""

    def __len__(self) -> int:
        """The number of pictures."""

    def pictures(self) -> Iterator[Labelled]:
        """The pictures, in the same order each time; their keys are different."""


@dataclass(frozen=True)
class Workers:
    """Who measures.

    Attributes:
        engine: "processes" of this machine, or "ray".
        number: How many, at least 1; None for one per core, or per GPU with Ray.
        address: HOST:PORT of a cluster of Ray; None for a Ray of this machine.
    """

    engine: Literal["processes", "ray"] = "processes"
    number: int | None = None
    address: str | None = None


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
    work: Work, data: Pictures, journal: Journal, workers: Workers, report: Callable[[Progress, Sequence[Record]], None]
) -> Progress:
    """Measures the pictures that the journal does not hold yet.

    Only the pictures that are being measured are in memory. Call it from the main thread: it handles SIGINT and SIGTERM
    while it runs.

    Args:
        work: The model and the options of the attack.
        data: The pictures.
        journal: Holds the records of earlier runs; afterwards it has one of each picture.
        workers: Who measures; the records are the same.
        report: Called with the progress and with the records that are new since its last call, at first with those of
            earlier runs.

    Returns:
        The progress at the end.

    Raises:
        AuditError: Workers cannot be started or died, or the attack failed on all pictures or on the first five.
        InterruptedAuditError: SIGINT or SIGTERM arrived. The journal keeps the records made until then.
        WhyboxError: The model cannot be loaded.
        OSError: A picture cannot be read, or a record cannot be written.
    """
    total, kept = len(data), 0
    stop, attempts = Stop(), _Attempts(journal.path, "prediction" if work.options is None else "attack")
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
        what: What is attempted, likewise.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what
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
            fault = f"no {self._what} succeeded, and {self._failed} pictures failed, the last one with {self._error}"
            where = f"the tracebacks are in the table pictures of {self._path}"
            raise AuditError(f"{fault}; {where}; the same command tries these pictures again")


def _measured(
    work: Work, pictures: Iterable[Labelled], number: int, workers: Workers, stop: Stop
) -> Generator[list[Record]]:
    """The records of each batch, in any order, as soon as the engine has measured it."""
    if workers.engine == "ray":
        # Only here: few audits need what it imports.
        from whybox_server.audits.passes.ray_engine import measured_by_ray

        return measured_by_ray(work, pictures, number, workers.number, workers.address, stop)
    return measured_by_processes(work, pictures, number, workers.number, stop)
