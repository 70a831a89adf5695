"""What survives an interrupt, and what is refused."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from whybox_server.audits.passes.journal import (
    Journal,
    JournalError,
    Outcome,
    Record,
)

SETTINGS: dict[str, object] = {"model": "m", "seed": 0, "norms": ["linf"], "digests": {"x": "1", "y": "2"}}
FOUND = Outcome("found", 0.1, 0.09, 0.3, None, 7, 6, 12, "evaluations", ("flat",))
NOT_FOUND = Outcome("not_found", None, None, 0.3, None, None, 6, 12, "evaluations", ())
RECORDS = [
    Record("a.jpg", "00", 1, 1, 0.7, {"linf": FOUND}, {"width": 9.0}, "0f", b"\0\1", b"\2"),
    Record("b.jpg", "01", 1, 1, 0.1 + 0.2, {"linf": NOT_FOUND}, {"width": 1 / 3}),
    Record("ü.jpg", "02", 1, 2),
    Record("d.jpg", "03", 1, None, error="damaged"),
    Record("e.jpg", "04", 1, None, error="ValueError: bad", traceback="line 1\nline 2"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.sqlite"
    with Journal(path, SETTINGS) as journal:
        journal.append(RECORDS)
    return path


def kept(path: Path, settings: dict[str, object] = SETTINGS, **options: bool) -> list[Record]:
    with Journal(path, settings, **options) as journal:
        return [journal[record.file] for record in RECORDS if record.file in journal]


def test_records_come_back(path: Path) -> None:
    assert kept(path) == RECORDS
    # Nothing lies beside the file once it is closed.
    assert list(path.parent.iterdir()) == [path]


def test_a_record_says_what_became_of_its_picture() -> None:
    told = [(record.right, record.measured, record.unreadable, record.failed) for record in RECORDS]
    right, wrong = (True, True, False, False), (False, True, False, False)
    assert told == [right, right, wrong, (False, False, True, False), (False, False, False, True)]


def test_fingerprints_are_those_of_measured_pictures(path: Path) -> None:
    with Journal(path, SETTINGS) as journal:
        told = [journal.fingerprint(file) for file in ("a.jpg", "ü.jpg", "d.jpg", "e.jpg", "other.jpg")]
        assert told == [("00", "0f"), ("02", ""), None, None, None]


def test_records_are_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for number, record in enumerate(RECORDS, start=1):
            journal.append([record])
            with closing(sqlite3.connect(path)) as another:
                assert another.execute("SELECT count(*) FROM pictures").fetchone() == (number,)


def test_wherever_the_log_was_cut_whole_records_count(tmp_path: Path) -> None:
    """The files of a killed process: a database, and a log that may end anywhere."""
    path, copied = tmp_path / "j", tmp_path / "copied" / "j"
    copied.parent.mkdir()
    with Journal(path, SETTINGS) as journal:
        for record in RECORDS:
            journal.append([record])
        log = path.with_name("j-wal").read_bytes()
        for length in range(0, len(log) + 1, 997):
            copied.write_bytes(path.read_bytes())
            copied.with_name("j-wal").write_bytes(log[:length])
            copied.with_name("j-shm").unlink(missing_ok=True)
            found = kept(copied)
            assert found == RECORDS[: len(found)]
    assert kept(path) == RECORDS


def test_the_last_record_of_a_file_counts_until_it_is_forgotten(path: Path) -> None:
    later = Record("a.jpg", "99", 1, 3)
    with Journal(path, SETTINGS) as journal:
        journal.append([later])
        assert journal["a.jpg"] == later
        journal.forget("a.jpg")
        assert "a.jpg" not in journal
        with pytest.raises(KeyError):
            journal["a.jpg"]
    assert kept(path) == RECORDS[1:]


def test_fresh_throws_away(path: Path) -> None:
    assert kept(path, {"model": "other"}, fresh=True) == []
    assert kept(path, {"model": "other"}) == []


def executed(*statements: str) -> Callable[[Path], None]:
    def execute(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            for statement in statements:
                database.execute(statement)

    return execute


def setting(name: str, value: object) -> Callable[[Path], None]:
    return executed(f"UPDATE settings SET value = '{json.dumps(value)}' WHERE name = '{name}'")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (executed("PRAGMA user_version = 99"), "was begun by another version"),
        (executed("DELETE FROM settings WHERE name = 'seed'"), "was begun by another version"),
        (lambda path: path.write_text('{"model": "m"}\n' * 99), "is damaged .*--fresh"),
        (setting("digests", {"x": "1", "y": "3"}), r"\(digests: y\)"),
        (setting("seed", 1), r"\(seed 1 instead of 0\).*--fresh.*--save"),
    ],
    ids=["layout", "settings", "no database", "digests", "seed"],
)
def test_what_is_refused(path: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=words):
        Journal(path, SETTINGS)
    assert path.read_bytes() == before


def test_one_run_at_a_time(path: Path) -> None:
    with Journal(path, SETTINGS), pytest.raises(JournalError, match="is in use by another run"):
        Journal(path, SETTINGS, fresh=True)
    assert kept(path) == RECORDS
