"""The journal of an audit: each record is kept as soon as it is made, so an interrupted audit can continue.

One SQLite file holds the settings and one row for each measured picture. No more than one row is in memory.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

JOURNAL = "audit.sqlite"
"""Name of the journal in the folder of the results."""

ROUNDS = "rounds"
"""Name of the folder below it with a folder, and in that a journal, for each round; see `again`."""

INTRINSIC = ("width", "height", "aspect_ratio", "brightness", "contrast", "saturation", "sharpness")
"""Names of the covariates of each picture; `whybox_handlers.audits.covariates` has their definitions and units."""

# The layout of the file. Other versions of Whybox refuse a layout that is not theirs.
_LAYOUT = 2
_TABLES = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (
    file TEXT PRIMARY KEY, sha256 TEXT NOT NULL, label INTEGER NOT NULL, predicted INTEGER, confidence REAL,
    margin REAL, norms TEXT NOT NULL, covariates TEXT NOT NULL, perceptual_hash TEXT NOT NULL, error TEXT NOT NULL,
    traceback TEXT NOT NULL, embedding BLOB NOT NULL, logits BLOB NOT NULL
);
"""


class JournalError(Exception):
    """The journal belongs to another audit or cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """The result of the attack on one picture in one norm, with the names of the wire contract's `Distance`.

    Attributes:
        state: "found" or "not_found".
        distance: Size of the smallest change found that flips the prediction, for values in [0, 1]; None if no flip was
            found.
        unflipped_distance: A size in the same direction, at most 1 % smaller, that was checked not to flip the
            prediction; None if no flip was found.
        searched_radius: Largest size of change that was tried.
        distance_8bit: Size of the smallest change found that flips the prediction and that a picture of 8 bits can
            hold; None if no such change was found.
        adversarial_class: Index of the class predicted for the changed picture; None if no flip was found.
        gradient_evaluations: Number of passes forward and back.
        forward_evaluations: Number of passes forward.
        stopped_by: What ended the search.
        reasons: What speaks against the distance; empty if nothing does.
    """

    state: str
    distance: float | None
    unflipped_distance: float | None
    searched_radius: float
    distance_8bit: float | None
    adversarial_class: int | None
    gradient_evaluations: int
    forward_evaluations: int
    stopped_by: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """The measurement of one picture.

    Attributes:
        file: Path of the picture below the folder of the data set; for a changed picture see `Changed.key`.
        sha256: SHA-256 of the picture's bytes, in hexadecimal; "" for a prediction that a table gives.
        label: Index of the correct class.
        predicted: Index of the predicted class; None if there is an error.
        confidence: Softmax probability of that class, 0 to 1; None if there is an error, or if no table gives it.
        margin: Logit of the correct class minus the largest other one; None if there is an error, or for a prediction
            that a table gives.
        norms: The result of the attack in each norm; empty if the prediction is wrong.
        covariates: The values of `INTRINSIC`, by name; empty if there is an error.
        perceptual_hash: 16 hexadecimal digits; "" if there is an error.
        embedding: The features before the network's last layer, float32, little-endian; empty if there is an error, or
            if the network has no such features.
        logits: The network's answer, float32, little-endian, one for each class; empty if there is an error, and for a
            picture that is attacked, which needs none of them.
        error: Why the picture could not be measured; "" if it was.
        traceback: Where the network or the attack failed; "" if they did not, or if the picture cannot be decoded.
    """

    file: str
    sha256: str
    label: int
    predicted: int | None
    confidence: float | None = None
    norms: Mapping[str, Outcome] = field(default_factory=dict)
    covariates: Mapping[str, float] = field(default_factory=dict)
    perceptual_hash: str = ""
    embedding: bytes = b""
    logits: bytes = b""
    error: str = ""
    traceback: str = ""
    margin: float | None = None

    @property
    def measured(self) -> bool:
        """Whether the picture was measured."""
        return self.predicted is not None

    @property
    def failed(self) -> bool:
        """Whether the network or the attack failed on the picture; another attempt may succeed."""
        return bool(self.traceback)

    @property
    def unreadable(self) -> bool:
        """Whether the picture cannot be decoded."""
        return not (self.measured or self.failed)

    @property
    def right(self) -> bool:
        """Whether the prediction is correct."""
        return self.predicted == self.label


class Fingerprint(NamedTuple):
    """What tells copies of a picture; see `Record`."""

    sha256: str
    perceptual_hash: str


class Journal:
    """The file with the records of an audit.

    Args:
        path: The file; it is made if it does not exist. One run at a time uses its folder.
        settings: Everything that a record depends on, apart from its picture. A file that was begun with other settings
            is refused.
        fresh: Whether to delete the records of earlier runs, and those of all rounds below the folder.

    Attributes:
        path: The file.

    Raises:
        JournalError: The file is in use, was begun with other settings or by another version, or is damaged.
        OSError: The file cannot be made or read.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = path
        # The folder is locked, because a lock on the file would end as soon as SQLite closes any of its own.
        self._folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if fresh:
                for name in (path.name, f"{ROUNDS}/*/{path.name}"):
                    for ending in ("", "-wal", "-shm"):
                        for earlier in path.parent.glob(name + ending):
                            earlier.unlink()
            self._database = sqlite3.connect(path, isolation_level=None)
        except BlockingIOError as error:
            os.close(self._folder)
            raise JournalError(f"{path} is in use by another run; wait for its end, or give another --save") from error
        except sqlite3.Error as error:
            os.close(self._folder)
            raise OSError(f"{path} cannot be opened ({error})") from error
        try:
            with self._understood():
                self._begin(settings)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def __contains__(self, file: str) -> bool:
        """Whether a record of a file is kept."""
        return self._row("1", file) is not None

    def __getitem__(self, file: str) -> Record:
        """The record of a file.

        Raises:
            KeyError: There is none.
        """
        columns = "file, sha256, label, predicted, confidence, norms, covariates, perceptual_hash, embedding, logits"
        row = self._row(f"{columns}, error, traceback, margin", file)
        if row is None:
            raise KeyError(file)
        name, sha256, label, predicted, confidence, norms, covariates, *others = row
        outcomes = {
            norm: Outcome(**{**outcome, "reasons": tuple(outcome["reasons"])})
            for norm, outcome in json.loads(norms).items()
        }
        return Record(name, sha256, label, predicted, confidence, outcomes, json.loads(covariates), *others)

    def fingerprint(self, file: str) -> Fingerprint | None:
        """What tells copies of a measured picture; None for one that was not measured."""
        row = self._row("sha256, perceptual_hash", file, "AND predicted IS NOT NULL")
        return None if row is None else Fingerprint(*row)

    def append(self, records: Iterable[Record]) -> None:
        """Writes records at once, so that they are kept however the process ends; all of them or none."""
        with self._understood(), self._transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row_of, records)
            )

    def forget(self, file: str) -> None:
        """Removes the record of a file."""
        with self._understood():
            self._database.execute("DELETE FROM pictures WHERE file = ?", [file])

    def _row(self, columns: str, file: str, condition: str = "") -> tuple[Any, ...] | None:
        with self._understood():
            row: tuple[Any, ...] | None = self._database.execute(
                f"SELECT {columns} FROM pictures WHERE file = ? {condition}", [file]
            ).fetchone()
            return row

    def _close(self) -> None:
        self._database.close()
        os.close(self._folder)

    def _begin(self, settings: Mapping[str, Any]) -> None:
        (layout,) = self._database.execute("PRAGMA user_version").fetchone()
        begun = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,)
        if begun and layout != _LAYOUT:
            raise self._of_another_version()
        # A process that is killed loses no record: whole transactions are in the log beside the file.
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        if begun:
            self._check(settings)
            return
        with self._transaction():
            for statement in filter(str.strip, _TABLES.split(";")):
                self._database.execute(statement)
            rows = [(name, json.dumps(value)) for name, value in settings.items()]
            self._database.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            self._database.execute(f"PRAGMA user_version={_LAYOUT}")

    def _check(self, settings: Mapping[str, Any]) -> None:
        begun = {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM settings")}
        if begun.keys() != settings.keys():
            raise self._of_another_version()
        differing = [name for name in settings if begun[name] != settings[name]]
        if differing:
            differences = ", ".join(_difference(name, begun[name], settings[name]) for name in differing)
            raise JournalError(f"{self.path} was begun with other settings ({differences}); {_REMEDY}")

    def _of_another_version(self) -> JournalError:
        return JournalError(f"{self.path} was begun by another version of Whybox; {_REMEDY}")

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _understood(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(f"{self.path} cannot be read or written ({error})") from error
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{self.path} is damaged ({error}); {_REMEDY}") from error


_REMEDY = "start over with --fresh, or give another --save"


def _row_of(record: Record) -> tuple[Any, ...]:
    norms = json.dumps({norm: asdict(outcome) for norm, outcome in record.norms.items()})
    return (
        *(record.file, record.sha256, record.label, record.predicted, record.confidence),
        *(record.margin, norms),
        *(json.dumps(dict(record.covariates)), record.perceptual_hash, record.error, record.traceback),
        *(record.embedding, record.logits),
    )


def _difference(name: str, begun: object, wanted: object) -> str:
    """How a setting differs; for a setting with entries, such as the digests, the names of those that differ."""
    if isinstance(begun, dict) and isinstance(wanted, dict):
        return f"{name}: {', '.join(key for key in begun | wanted if begun.get(key) != wanted.get(key))}"
    return f"{name} {begun} instead of {wanted}"
