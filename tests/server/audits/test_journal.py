"""What survives an interrupt, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from whybox_server.audits.journal import (
    Journal,
    JournalError,
    Outcome,
    Record,
)

SETTINGS: dict[str, object] = {"model": "m", "seed": 0, "norms": ["linf"], "digests": {"x": "1", "y": "2"}}
FOUND = Outcome("found", 0.1, 0.09, 0.3, None, 7, 6, 12, "evaluations", ("flat",))
NOT_FOUND = Outcome("not_found", None, None, 0.3, None, None, 6, 12, "evaluations", ())
RECORDS = [
    Record("a.jpg", "00", 1, 1, {"linf": FOUND}),
    Record("b.jpg", "01", 1, 1, {"linf": NOT_FOUND}),
    Record("ü.jpg", "02", 1, 2),
    Record("d.jpg", "03", 1, None, error="damaged"),
    Record("e.jpg", "04", 1, None, error="ValueError: bad", traceback="line 1\nline 2"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.jsonl"
    with Journal(path, SETTINGS) as journal:
        for record in RECORDS:
            journal.append(record)
    return path


def reopened(path: Path, settings: dict[str, object] = SETTINGS, **options: bool) -> list[Record]:
    with Journal(path, settings, **options) as journal:
        return list(journal.records.values())


def test_records_come_back(path: Path) -> None:
    assert reopened(path) == RECORDS
    assert len(path.read_text().splitlines()) == 1 + len(RECORDS)


def test_a_record_says_what_became_of_its_picture() -> None:
    told = [(record.right, record.measured, record.unreadable, record.failed) for record in RECORDS]
    right, wrong = (True, True, False, False), (False, True, False, False)
    assert told == [right, right, wrong, (False, False, True, False), (False, False, False, True)]


def test_records_are_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for number, record in enumerate(RECORDS, start=1):
            journal.append(record)
            assert len(path.read_text().splitlines()) == 1 + number


def test_wherever_it_was_cut_whole_lines_count(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        whole = max(content[:length].count(b"\n") - 1, 0)
        with Journal(path, SETTINGS) as journal:
            assert list(journal.records.values()) == RECORDS[:whole]
            for record in RECORDS[whole:]:
                journal.append(record)
        assert path.read_bytes() == content


def test_the_last_record_of_a_file_counts(path: Path) -> None:
    later = Record("a.jpg", "99", 1, 3)
    with Journal(path, SETTINGS) as journal:
        journal.append(later)
    assert {record.file: record for record in reopened(path)}["a.jpg"] == later


def test_fresh_throws_away(path: Path) -> None:
    assert reopened(path, {"model": "other"}, fresh=True) == []
    assert reopened(path, {"model": "other"}) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lines: ["[]", *lines[1:]], "was begun by another version"),
        (lambda lines: [json.dumps({"model": "m"}), *lines[1:]], "was begun by another version"),
        (lambda lines: [lines[0], "{}", *lines[1:]], "line 2, is damaged"),
        (lambda lines: [*lines, "\0"], "line 7, is damaged"),
        (lambda lines: [json.dumps(SETTINGS | {"digests": {"x": "1", "y": "3"}}), *lines[1:]], r"\(digests: y\)"),
        (lambda lines: [json.dumps(SETTINGS | {"seed": 1}), *lines[1:]], r"\(seed 1 instead of 0\).*--fresh.*--save"),
    ],
)
def test_what_is_refused(path: Path, spoil: Callable[[list[str]], list[str]], words: str) -> None:
    path.write_text("".join(line + "\n" for line in spoil(path.read_text().splitlines())))
    before = path.read_bytes()
    with pytest.raises(JournalError, match=words):
        Journal(path, SETTINGS)
    assert path.read_bytes() == before


def test_one_run_at_a_time(path: Path) -> None:
    with Journal(path, SETTINGS), pytest.raises(JournalError, match="is in use by another run"):
        Journal(path, SETTINGS, fresh=True)
    assert reopened(path) == RECORDS
