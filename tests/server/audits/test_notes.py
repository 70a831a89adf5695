"""Notes of reviewers: their file, the page, the bank, and what becomes of them in the next audit."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from server.audits.report.test_run import Audit
from whybox import v1
from whybox_server.audits.bank import read_bank
from whybox_server.audits.notes import MAX_NAME, MAX_NOTES, MAX_TEXT
from whybox_server.cli.app import app

pytestmark = pytest.mark.usefixtures("_here")

HOSTILE = "</style><script>alert(1)</script><!--/notes--> & \"'{{ 7 * 7 }}"


@pytest.fixture
def audit(store: Path, tmp_path: Path) -> Audit:
    audit = Audit(tmp_path, store)
    assert audit.run().exit_code == 0
    return audit


def note(audit: Audit, *given: object) -> Result:
    command = ["audit", "note", audit.save, *given]
    return CliRunner().invoke(app, [str(each) for each in command], env={"COLUMNS": "200"})


def noted(audit: Audit, flag: str, text: str = "Seen.", name: str = "A. Reviewer") -> dict[str, Any]:
    """The new note, as the file has it."""
    done = note(audit, flag, "--text", text, "--name", name)
    assert done.exit_code == 0, done.output
    notes: list[dict[str, Any]] = json.loads((audit.save / "notes.json").read_text())["notes"]
    return notes[-1]


def flag_of(audit: Audit, attribute: str = "snow", kind: str = "adversarial_criticism") -> dict[str, Any]:
    """The flag on cats."""
    flag: dict[str, Any]
    [flag] = (
        flag
        for flag in audit.manifest()["flags"]
        if (flag["kind"], flag["class_label"], flag["attribute"]) == (kind, "cat", attribute) and flag["value"] == "1"
    )
    return flag


def test_a_note_stands_beside_its_flag_and_changes_nothing_else(audit: Audit) -> None:
    before = {name: (audit.save / name).read_bytes() for name in ("audit.json", "audit.parquet", "audit.html")}
    flag = flag_of(audit)
    written = noted(audit, flag["id"][:6].upper(), "Snow is\nbright here.")
    date = written.pop("date")
    assert written == {
        "flag": flag["id"],
        "question": "adversarial_criticism of cat with snow = 1",
        "state": "flagged",
        "audit": flag["audit_id"],
        "name": "A. Reviewer",
        "text": "Snow is bright here.",
    }
    assert len(date) == len("2026-01-02")
    for name in ("audit.json", "audit.parquet"):
        assert (audit.save / name).read_bytes() == before[name]
    page = (audit.save / "audit.html").read_bytes()
    words = (
        f"<li><b>A. Reviewer</b>, {date}, when it was flagged in audit {flag['audit_id']}: Snow is bright here.</li>"
    )
    _, _, article = page.decode().partition("/message")
    assert words in article.partition("</article>")[0]
    # The audit run again writes the same page with the note, and without it that of before.
    assert audit.run().exit_code == 0
    assert (audit.save / "audit.html").read_bytes() == page
    (audit.save / "notes.json").unlink()
    assert audit.run().exit_code == 0
    assert {name: (audit.save / name).read_bytes() for name in before} == before


def test_ids_are_those_of_the_questions(audit: Audit) -> None:
    ids = {flag["id"]: flag["kind"] for flag in audit.manifest()["flags"]}
    assert len(ids) == len(audit.manifest()["flags"])
    assert all(len(each) == 12 and int(each, 16) >= 0 for each in ids)
    done = audit.run("--attribute", "snow", "--confounder", "sea", "--seed", 0)
    assert {flag["id"] for flag in audit.manifest()["flags"]} < set(ids)
    # The terminal and the page show them.
    assert all(flag["id"] in done.stdout for flag in audit.manifest()["flags"])
    assert flag_of(audit)["id"] in (audit.save / "audit.html").read_text()


def test_hostile_notes_stay_text(audit: Audit) -> None:
    turned = "\u202egnp\x1b[31m\x00\x07"
    written = noted(audit, flag_of(audit)["id"], HOSTILE + turned, f"{HOSTILE}\r\n{turned}")
    assert written["text"] == HOSTILE + "gnp[31m"
    assert written["name"] == f"{HOSTILE} gnp[31m"
    noted(audit, flag_of(audit)["id"], "another")
    page = (audit.save / "audit.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--/notes--&gt;") == 2
    assert page.count("another</li>") == 1


@pytest.mark.parametrize(
    ("flag", "text", "name", "words"),
    [
        ("f" * 12, "x", "y", "has no flag 'ffffffffffff'; --list shows the ids of its flags"),
        ("", "x", "y", "has no flag ''"),
        ("%", "", "y", "--text is empty; a note has a text and the name of its author"),
        ("%", "x", "\x1b\n", "--name is empty"),
        ("%", "x" * (MAX_TEXT + 1), "y", "--text has 2001 characters; write at most 2000"),
        ("%", "x", "y" * (MAX_NAME + 1), "--name has 201 characters; write at most 200"),
    ],
)
def test_notes_that_are_refused(audit: Audit, flag: str, text: str, name: str, words: str) -> None:
    before = (audit.save / "audit.html").read_bytes()
    done = note(audit, flag_of(audit)["id"] if flag == "%" else flag, "--text", text, "--name", name)
    assert done.exit_code == 1
    assert words in done.stderr
    assert not (audit.save / "notes.json").exists()
    assert (audit.save / "audit.html").read_bytes() == before


def test_the_longest_notes_and_the_most(audit: Audit) -> None:
    flag = flag_of(audit)["id"]
    noted(audit, flag, "x" * MAX_TEXT, "y" * MAX_NAME)
    entries = json.loads((audit.save / "notes.json").read_text())
    entries["notes"] *= MAX_NOTES
    (audit.save / "notes.json").write_text(json.dumps(entries))
    done = note(audit, flag, "--text", "x", "--name", "y")
    assert done.exit_code == 1
    assert f"flag {flag} has 20 notes, the most there can be" in done.stderr
    noted(audit, flag_of(audit, "moon")["id"])


def test_the_beginning_of_several_ids(audit: Audit) -> None:
    manifest = json.loads((audit.save / "audit.json").read_text())
    for number, flag in enumerate(manifest["flags"]):
        flag["id"] = f"ab{number:010x}"
    (audit.save / "audit.json").write_text(json.dumps(manifest))
    done = note(audit, "ab", "--text", "x", "--name", "y")
    assert done.exit_code == 1
    assert f"{len(manifest['flags'])} flags have an id that begins with 'ab' (ab0000000000, " in done.stderr


def test_the_next_audit_keeps_notes_and_says_which_flags_are_gone(audit: Audit) -> None:
    kept, lost = (noted(audit, flag_of(audit, name)["id"], f"on {name}") for name in ("snow", "moon"))
    kind = "adversarial_criticism of cat with moon = 1"
    words = f"this audit has no flag {lost['flag']} ({kind}), but notes.json keeps a note on it: A. Reviewer, "
    done = audit.run("--attribute", "snow")
    assert done.exit_code == 0, done.output
    assert words in done.stdout
    assert kept["flag"] not in done.stdout.replace(f"\n{kept['flag']}", "").split("this audit has no flag")[1]
    page = (audit.save / "audit.html").read_text()
    assert "on snow</li>" in page.partition("Notes on other questions")[0]
    assert f"{kind}. <b>A. Reviewer</b>" in page.partition("Notes on other questions")[2]
    listed = note(audit, "--list").stdout
    assert words in listed
    assert audit.run().exit_code == 0
    assert "Notes on other questions" not in (audit.save / "audit.html").read_text()


def test_the_list(audit: Audit) -> None:
    flag = flag_of(audit)
    written = noted(audit, flag["id"])
    done = note(audit, "--list")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        f"{flag['id']}  flagged  adversarial_criticism of cat with snow = 1",
        f"  A. Reviewer, {written['date']}, when it was flagged in audit {flag['audit_id']}: Seen.",
    ]
    assert len(lines) == len(audit.manifest()["flags"]) + 1


def test_notes_are_packed_with_their_flag(audit: Audit) -> None:
    first = noted(audit, flag_of(audit)["id"], "first")
    noted(audit, flag_of(audit)["id"], "second", "B")
    noted(audit, flag_of(audit, "moon")["id"], "other")
    audit.run("--attribute", "snow")
    flags = [flag for audited in read_bank(audit.save).classes for flag in audited.findings.flags]
    [flag] = (flag for flag in flags if flag.notes)
    assert flag.id == flag_of(audit)["id"]
    assert list(flag.notes) == [
        v1.Note(text="first", name="A. Reviewer", date=first["date"]),
        v1.Note(text="second", name="B", date=first["date"]),
    ]


@pytest.mark.parametrize("spoilt", ["{", "{}", '{"notes": [{"flag": "a"}]}', '{"notes": 3}', "[]"])
def test_a_damaged_file_is_not_overwritten(audit: Audit, spoilt: str) -> None:
    (audit.save / "notes.json").write_text(spoilt)
    for done in (
        note(audit, flag_of(audit)["id"], "--text", "x", "--name", "y"),
        note(audit, "--list"),
        audit.run(),
    ):
        assert done.exit_code == 1
        assert "notes.json holds no notes that can be read" in done.stderr
    assert (audit.save / "notes.json").read_text() == spoilt


def test_a_folder_in_use_and_one_without_an_audit(audit: Audit, tmp_path: Path) -> None:
    given = (flag_of(audit)["id"], "--text", "x", "--name", "y")
    locked = os.open(audit.save, os.O_RDONLY)
    fcntl.flock(locked, fcntl.LOCK_EX)
    try:
        done = note(audit, *given)
    finally:
        os.close(locked)
    assert done.exit_code == 1
    assert "is in use by another run; wait for its end" in done.stderr
    for folder in (tmp_path, tmp_path / "nowhere", audit.table):
        audit.save = folder
        done = note(audit, *given)
        assert done.exit_code == 1
        assert f"{audit.save} holds no audit" in done.stderr


@pytest.mark.parametrize("flags", [None, 3, [None], [{"kind": "error_rate"}]])
def test_an_audit_without_ids(audit: Audit, flags: object) -> None:
    manifest = json.loads((audit.save / "audit.json").read_text())
    (audit.save / "audit.json").write_text(json.dumps(manifest | {"flags": flags}))
    for done in (note(audit, "--list"), note(audit, "ab", "--text", "x", "--name", "y")):
        assert done.exit_code == 1
        assert "audit.json is damaged, or of another version of Whybox; run the audit again" in done.stderr


def test_an_audit_without_its_page_takes_no_note(audit: Audit) -> None:
    (audit.save / "audit.html").unlink()
    done = note(audit, flag_of(audit)["id"], "--text", "x", "--name", "y")
    assert done.exit_code == 1
    assert "audit.html, which shows the notes, is missing; run the audit again" in done.stderr
    assert not (audit.save / "notes.json").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--text", "x", "--name", "y"], "a note needs FLAG, --text and --name; --list shows the flags"),
        (["abc", "--text", "x"], "a note needs FLAG, --text and --name"),
        (["abc", "--list"], "--list shows all flags and writes nothing; leave FLAG, --text and --name out"),
    ],
)
def test_options_that_miss_each_other(audit: Audit, given: list[str], words: str) -> None:
    done = note(audit, *given)
    assert done.exit_code == 1
    assert words in done.stderr
