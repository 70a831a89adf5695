"""`make audit`: what it fails for, and that it never passes for packages that it learned nothing about."""

import json
import stat
from datetime import date
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

import advisories
from advisories import Acceptance, Advisory, AuditError, audit, pinned, read_accepted, read_report, wrong

TODAY = date(2026, 3, 1)
FOUND = Advisory("some-package", "1.0", ("PYSEC-2026-1", "CVE-2026-1"), ("1.1",))
MENDLESS = Advisory("other", "2.0", ("GHSA-1",), ())


def accepting(**change: Any) -> Acceptance:
    entry: dict[str, Any] = {
        "id": "CVE-2026-1",
        "package": "Some_Package",
        "date": date(2026, 2, 1),
        "until": TODAY,
        "reason": "r",
    }
    return Acceptance(**entry | change)


@pytest.mark.parametrize(
    ("found", "accepted", "said"),
    [
        ([], [], []),
        ([FOUND], [], ["some-package 1.0: PYSEC-2026-1, CVE-2026-1 (fixed in 1.1)"]),
        ([MENDLESS], [], ["other 2.0: GHSA-1 (no version mends it)"]),
        ([FOUND], [accepting()], []),
        ([FOUND], [accepting(id="PYSEC-2026-1")], []),
        ([FOUND], [accepting(until=date(2026, 2, 28))], ["the acceptance of CVE-2026-1 ended on 2026-02-28"]),
        ([], [accepting()], ["CVE-2026-1 is accepted, but no installed version has it"]),
        ([FOUND], [accepting(id="CVE-2026-2")], ["PYSEC-2026-1, CVE-2026-1", "CVE-2026-2 is accepted, but no"]),
        ([FOUND], [accepting(package="other")], ["PYSEC-2026-1, CVE-2026-1", "other: CVE-2026-1 is accepted, but no"]),
    ],
)
def test_what_is_wrong(found: list[Advisory], accepted: list[Acceptance], said: list[str]) -> None:
    lines = list(wrong(found, accepted, TODAY))
    assert len(lines) == len(said)
    for line, words in zip(lines, said, strict=True):
        assert words in line


GOOD = 'id = "CVE-2026-1"\npackage = "p"\ndate = 2026-02-01\nuntil = 2026-03-01\nreason = "r"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accepted = [", "cannot be read"),
        ("other = []", "has nothing but .*, not other"),
        ("[[accepted]]\n" + GOOD.replace('reason = "r"\n', ""), r"accepted\[0\] must have id, package, date, until"),
        ("[[accepted]]\n" + GOOD + "extra = 1", "nothing else"),
        ("[[accepted]]\n" + GOOD.replace('"r"', '""'), "reason must be text, not ''"),
        ("[[accepted]]\n" + GOOD.replace("2026-03-01", '"2026-03-01"'), "until must be a date"),
        ("[[accepted]]\n" + GOOD.replace("2026-03-01", "2026-03-01T00:00:00"), "until must be a date"),
        ("[[accepted]]\n" + GOOD.replace("2026-03-01", "2026-01-01"), "until is before its date"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(text)
    with pytest.raises(AuditError, match=said):
        read_accepted(path)


def test_a_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text("[[accepted]]\n" + GOOD)
    assert read_accepted(path) == (Acceptance("CVE-2026-1", "p", date(2026, 2, 1), date(2026, 3, 1), "r"),)
    read_accepted(advisories.ACCEPTED)


class Installed(Distribution):
    def __init__(self, name: str, version: str) -> None:
        self._told = Message()
        self._told["Name"], self._told["Version"] = name, version

    @property
    def metadata(self) -> Any:
        return self._told

    def read_text(self, filename: str) -> None:
        raise NotImplementedError

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


def test_packages_are_asked_for_as_pypi_knows_them() -> None:
    installed = [Installed("torch", "2.14.0+cpu"), Installed("whybox", "0.1.0"), Installed("Jinja2", "3.1.6")]
    assert pinned(installed) == ["jinja2==3.1.6", "torch==2.14.0"]


REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "Other", "version": "2.0", "vulns": [{"id": "GHSA-1", "aliases": [], "fix_versions": []}]},
        {"name": "good", "version": "1.0", "vulns": []},
    ]
}


def pip_audit(folder: Path, script: str) -> Path:
    """A program in its place; "$report" is the file that it is to write."""
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\nfor report; do :; done\n{script}\n")
    program.chmod(stat.S_IRWXU)
    return program


def test_a_report_is_read_also_if_the_program_fails_for_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "report").write_text(json.dumps(REPORT))
    program = pip_audit(tmp_path, f'cp {tmp_path}/report "$report"; exit 1')
    assert read_report(audit(program, ["other==2.0"])) == (MENDLESS,)


def test_what_cannot_be_audited_fails(tmp_path: Path) -> None:
    skipped = {"name": "good", "skip_reason": "Dependency not found on PyPI"}
    with pytest.raises(AuditError, match=r"1 of 3 packages could not be audited \(good\)"):
        read_report({"dependencies": [*REPORT["dependencies"], skipped]})
    with pytest.raises(AuditError, match="no report: ERROR: no network"):
        audit(pip_audit(tmp_path, "echo ERROR: no network >&2; exit 1"), [])
    with pytest.raises(AuditError, match="did not end"):
        audit(tmp_path / "missing", [])


@pytest.mark.parametrize(("found", "status"), [(REPORT, 1), ({"dependencies": [REPORT["dependencies"][1]]}, 0)])
def test_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], status: int) -> None:
    (tmp_path / "accepted.toml").write_text("")
    monkeypatch.setattr(advisories, "ACCEPTED", tmp_path / "accepted.toml")
    (tmp_path / "report").write_text(json.dumps(found))
    monkeypatch.setattr("sys.argv", ["advisories", str(pip_audit(tmp_path, f'cp {tmp_path}/report "$report"'))])
    assert advisories.main() == status


def test_an_audit_that_did_not_happen_has_a_status_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["advisories", str(tmp_path / "missing")])
    assert advisories.main() == 2
    assert capsys.readouterr().err.startswith("not audited: ")
