"""What has been measured so far, kept as it comes: so an interrupted audit goes on where it stopped."""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class JournalError(Exception):
    """The journal belongs to another audit, or cannot be used; says what to do."""


@dataclass(frozen=True)
class Outcome:
    """Of the attack on one picture in one norm; named as in the wire contract's `Distance`.

    Attributes:
        state: "found" or "not_found".
        distance: Smallest verified distance at which the answer flips; None where none was found.
        unflipped_distance: Somewhat below it, where the answer does not flip yet; None where none was found.
        searched_radius: Largest size of change that was tried.
        distance_8bit: Smallest distance found for a picture of 8 bits; None where none was found.
        adversarial_class: Index of the class that the answer flips to; None where it does not.
        gradient_evaluations: Passes forward and back.
        forward_evaluations: Passes forward.
        stopped_by: What ended the search.
        reasons: Why the distance should not be relied on; none where it can be.
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
    """What is known of one picture.

    Attributes:
        file: Its path below the data set's folder.
        sha256: Of its bytes.
        label: Index of the right class.
        predicted: Index of the predicted class; None where there is an error.
        norms: What the attack found in each norm; empty where the prediction is wrong.
        error: Why it could not be measured; "" where it was.
        traceback: Where it failed, if that is no fault of the picture; "" where the picture cannot be decoded.
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
        """Whether it could be measured."""
        return self.predicted is not None

    @property
    def failed(self) -> bool:
        """Whether the network or the attack failed; another attempt may not."""
        return bool(self.traceback)

    @property
    def unreadable(self) -> bool:
        """Whether the picture cannot be decoded."""
        return not (self.measured or self.failed)

    @property
    def right(self) -> bool:
        """Whether the prediction is right."""
        return self.predicted == self.label

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_entries(cls, entries: Mapping[str, Any]) -> Self:
        """The inverse of `to_line`, after parsing."""
        norms = {
            norm: Outcome(**{**outcome, "reasons": tuple(outcome["reasons"])})
            for norm, outcome in entries["norms"].items()
        }
        return cls(**{**entries, "norms": norms})


class Journal:
    """The file of an audit's records: a line of settings, then a line for each picture.

    Args:
        path: The file; begun where it is missing.
        settings: Whatever the records depend on, as JSON values.
        fresh: Whether what the file holds is thrown away.

    Attributes:
        path: The file.
        records: By file; of several for the same file the last.

    Raises:
        JournalError: The file was begun with other settings, is damaged, or is in use.
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
            raise JournalError(f"{path} is being written by another run; wait for it, or use another --save") from error
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
        """Keeps a record, at once: what is measured is not lost however the process ends."""
        self._write(record.to_line())
        self.records[record.file] = record

    def _write(self, line: str) -> None:
        self._stream.write(line.encode())
        self._stream.flush()

    def _resume(self, settings: Mapping[str, Any]) -> dict[str, Record]:
        self._stream.seek(0)
        content = self._stream.read()
        # Killed in the middle of a write: what follows the last whole line is measured again.
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
                message = f"{self.path}, line {number}, is damaged; remove the line, or begin again with --fresh"
                raise JournalError(message) from error
            records[record.file] = record
        return records

    def _check(self, head: bytes, settings: Mapping[str, Any]) -> None:
        remedy = "begin again with --fresh, or use another --save"
        try:
            begun = json.loads(head)
            differing = [name for name in settings if begun[name] != settings[name]]
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{self.path} was not begun by this version of Whybox; {remedy}") from error
        if differing:
            told = ", ".join(_difference(name, begun[name], settings[name]) for name in differing)
            raise JournalError(f"{self.path} was begun with other settings ({told}); {remedy}")


def _difference(name: str, begun: object, wanted: object) -> str:
    """What differs in a setting; of one with entries, as digests are, only which of them."""
    if isinstance(begun, dict) and isinstance(wanted, dict):
        return f"{name}: {', '.join(key for key in begun | wanted if begun.get(key) != wanted.get(key))}"
    return f"{name} {begun} instead of {wanted}"
