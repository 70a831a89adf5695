"""The journal of an audit: each record is kept as soon as it is made, so an interrupted audit can continue."""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self


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
        file: Path of the picture below the folder of the data set.
        sha256: SHA-256 of the picture's bytes, in hexadecimal.
        label: Index of the correct class.
        predicted: Index of the predicted class; None if there is an error.
        norms: The result of the attack in each norm; empty if the prediction is wrong.
        error: Why the picture could not be measured; "" if it was.
        traceback: Where the network or the attack failed; "" if they did not, or if the picture cannot be decoded.
    """

    file: str
    sha256: str
    label: int
    predicted: int | None
    norms: Mapping[str, Outcome] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""

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

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_entries(cls, entries: Mapping[str, Any]) -> Self:
        """The record that `to_line` wrote.

        Args:
            entries: The parsed line.
        """
        norms = {
            norm: Outcome(**{**outcome, "reasons": tuple(outcome["reasons"])})
            for norm, outcome in entries["norms"].items()
        }
        return cls(**{**entries, "norms": norms})


class Journal:
    """The file with the records of an audit: one line of settings, then one line per picture.

    Args:
        path: The file; it is created if it does not exist.
        settings: Everything that the records depend on, apart from the pictures, as JSON values.
        fresh: Whether to delete the records of earlier runs.

    Attributes:
        path: The file.
        records: The records by file; if the journal has several for a file, the last one.

    Raises:
        JournalError: The file was begun with other settings, is damaged, or is in use by another run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = path
        self._stream = path.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if fresh:
                self._stream.truncate(0)
            self.records = self._resume(settings)
        except BlockingIOError as error:
            self._stream.close()
            raise JournalError(f"{path} is in use by another run; wait for its end, or give another --save") from error
        except JournalError:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    def append(self, record: Record) -> None:
        """Writes a record to the file at once, so that it is kept however the process ends."""
        self._write(record.to_line())
        self.records[record.file] = record

    def _write(self, line: str) -> None:
        self._stream.write(line.encode())
        self._stream.flush()

    def _resume(self, settings: Mapping[str, Any]) -> dict[str, Record]:
        self._stream.seek(0)
        content = self._stream.read()
        # A process killed while it wrote leaves part of a line; that picture is measured again.
        whole = content[: content.rfind(b"\n") + 1]
        self._stream.truncate(len(whole))
        if not whole:
            self._write(json.dumps(settings) + "\n")
            return {}
        head, *lines = whole.splitlines()
        self._check(head, settings)
        records: dict[str, Record] = {}
        for number, line in enumerate(lines, start=2):
            try:
                record = Record.from_entries(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                message = f"{self.path}, line {number}, is damaged; remove the line, or start over with --fresh"
                raise JournalError(message) from error
            records[record.file] = record
        return records

    def _check(self, head: bytes, settings: Mapping[str, Any]) -> None:
        remedy = "start over with --fresh, or give another --save"
        try:
            begun = json.loads(head)
            differing = [name for name in settings if begun[name] != settings[name]]
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{self.path} was begun by another version of Whybox; {remedy}") from error
        if differing:
            differences = ", ".join(_difference(name, begun[name], settings[name]) for name in differing)
            raise JournalError(f"{self.path} was begun with other settings ({differences}); {remedy}")


def _difference(name: str, begun: object, wanted: object) -> str:
    """How a setting differs; for a setting with entries, such as the digests, the names of those that differ."""
    if isinstance(begun, dict) and isinstance(wanted, dict):
        return f"{name}: {', '.join(key for key in begun | wanted if begun.get(key) != wanted.get(key))}"
    return f"{name} {begun} instead of {wanted}"
