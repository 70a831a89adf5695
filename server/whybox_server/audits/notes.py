"""What reviewers wrote about the flags of an audit, in a file beside it, so that all its digests stay as they are."""

import fcntl
import json
import os
import unicodedata
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whybox_server.audits.data.errors import DataSetError

NOTES = "notes.json"
"""Name of the file in the folder of the audit."""

MAX_TEXT, MAX_NAME, MAX_NOTES = 2000, 200, 20
"""Characters of a text and of a name, and notes on a flag, at most."""

# Control characters, halves of characters, and characters that turn the direction of what stands around them.
_STRIPPED = ("Cc", "Cs")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Note:
    """What a reviewer wrote about a flag; it never changes the state.

    Attributes:
        flag: Id of the flag.
        question: What the flag answers, in words, for an audit that no longer asks it.
        state: The state that the flag had when the note was written.
        audit: Id of the audit in which it had it.
        name: Who wrote the note, as given.
        date: When, as YYYY-MM-DD in UTC.
        text: What it says, in one line.
    """

    flag: str
    question: str
    state: str
    audit: str
    name: str
    date: str
    text: str


def read_notes(folder: Path) -> tuple[Note, ...]:
    """The notes of an audit, in the order of their writing; none without a file.

    Raises:
        DataSetError: The file holds no notes.
    """
    path = folder / NOTES
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["notes"]
        notes = tuple(Note(**entry) for entry in entries)
        if not all(isinstance(value, str) for note in notes for value in asdict(note).values()):
            raise TypeError("a field is no text")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise DataSetError(f"{path} holds no notes that can be read ({why}); mend it or move it away") from error
    return notes


def add_note(folder: Path, manifest: Mapping[str, Any], flag: str, text: str, name: str, date: str) -> Note:
    """Puts a note on a flag.

    Args:
        folder: The folder of the audit; only one process at a time may write in it, see `kept_for_one`.
        manifest: Its manifest.
        flag: The id of a flag, or its beginning if no other id has it.
        text: What it says; line breaks become spaces, control characters are left out.
        name: Who writes it, likewise.
        date: When, as YYYY-MM-DD in UTC.

    Raises:
        DataSetError: No flag has the id, several have its beginning, or text or name are empty or too long.
        OSError: The file cannot be written.
    """
    found = flag_of(manifest, flag)
    notes = read_notes(folder)
    if sum(note.flag == found["id"] for note in notes) >= MAX_NOTES:
        raise DataSetError(f"flag {found['id']} has {MAX_NOTES} notes, the most there can be; remove one from {NOTES}")
    note = Note(
        flag=found["id"],
        question=question(found),
        state=found["state"],
        audit=manifest["audit"],
        name=_line("--name", name, MAX_NAME),
        date=date,
        text=_line("--text", text, MAX_TEXT),
    )
    content = {"notes": [asdict(each) for each in (*notes, note)]}
    part = folder / f"{NOTES}.part"
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(folder / NOTES)
    return note


def flag_of(manifest: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """The flag of an audit with an id, or with the only id that begins like this.

    Raises:
        DataSetError: There is none, or more than one.
    """
    flags: list[Mapping[str, Any]] = [flag for flag in manifest["flags"] if flag["id"].startswith(address.lower())]
    if not address or not flags:
        raise DataSetError(f"audit {manifest['audit']} has no flag {address!r}; --list shows the ids of its flags")
    if len(flags) > 1:
        ids = ", ".join(flag["id"] for flag in flags[:5])
        raise DataSetError(f"{len(flags)} flags have an id that begins with {address!r} ({ids}); give more of it")
    return flags[0]


def question(flag: Mapping[str, Any]) -> str:
    """What a flag answers, for example "error_rate of basketball with wheelchair = 1"."""
    value = f" = {flag['value']}" if flag["value"] else ""
    return f"{flag['kind']} of {flag['class_label']} with {flag['attribute']}{value}"


def by_flag(notes: Iterable[Note]) -> dict[str, list[Note]]:
    """The notes by the id of their flag."""
    found: dict[str, list[Note]] = {}
    for note in notes:
        found.setdefault(note.flag, []).append(note)
    return found


def without_flag(notes: Sequence[Note], manifest: Mapping[str, Any]) -> list[Note]:
    """The notes on flags that an audit does not have; another audit in the folder had them."""
    ids = {flag["id"] for flag in manifest["flags"]}
    return [note for note in notes if note.flag not in ids]


@contextmanager
def kept_for_one(folder: Path) -> Generator[None]:
    """Keeps other runs that write into the folder of an audit out of it, and waits for none.

    Raises:
        DataSetError: Another run writes into it, or it is no folder.
    """
    # The lock of the journal.
    try:
        locked = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DataSetError(
            f"{folder} holds no audit ({error.strerror}); give the folder that an audit wrote"
        ) from error
    try:
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DataSetError(f"{folder} is in use by another run; wait for its end") from error
    finally:
        os.close(locked)


def _line(option: str, given: str, most: int) -> str:
    """A text in one line."""
    spaced = "".join(" " if character.isspace() else character for character in given)
    kept = (
        character
        for character in spaced
        if unicodedata.category(character) not in _STRIPPED and character not in _TURNING
    )
    line = " ".join("".join(kept).split())
    if not line:
        raise DataSetError(f"{option} is empty; a note has a text and the name of its author")
    if len(line) > most:
        raise DataSetError(f"{option} has {len(line)} characters; write at most {most}")
    return line
