"""The command with a quick stand-in for measuring: interrupted, killed, and with pictures that fail."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from server.audits.stopping import kept, stopped
from whybox_server.cli.app import app

MANY = [f"picture {number}" for number in range(20)]


class Audit:
    """The command on pictures of cats that say `texts`, in this order."""

    def __init__(self, folder: Path, store: Path, texts: Sequence[str]) -> None:
        self._data, self._store, self._save = folder / "data", store, folder / "save"
        (self._data / "cat").mkdir(parents=True)
        for number, text in enumerate(texts):
            (self._data / "cat" / f"{number:02}.jpg").write_text(f"{text}\n{number}")

    def arguments(self, workers: int = 1) -> list[str]:
        given = [self._data, "--model-store", self._store, "--save", self._save, "--workers", workers]
        return ["robustness", *map(str, given)]

    def run(self) -> Result:
        """In this process; see `_here`."""
        return CliRunner().invoke(app, self.arguments())

    @property
    def kept(self) -> int:
        """Number of records in the journal."""
        return kept(self._save)

    def numbers(self) -> dict[str, Any]:
        """The report without the folder of the pictures."""
        report: dict[str, Any] = json.loads((self._save / "robustness.json").read_text())
        assert report["data"].pop("folder") == str(self._data)
        return report


@pytest.mark.usefixtures("_here")
def test_an_audit_continues_after_an_interrupt_and_a_kill(store: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path, store, MANY)
    [line] = stopped(audit.arguments(2), signal.SIGINT, lambda: audit.kept >= 1).splitlines()
    assert line == "interrupted: all measurements are kept; run the same command again to continue"
    more = audit.kept + 1
    stopped(audit.arguments(1), signal.SIGKILL, lambda: audit.kept >= more)
    kept = audit.kept
    assert 2 <= kept < len(MANY)
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert f"{kept} of {len(MANY)} pictures were measured by an earlier run" in done.stderr
    assert audit.kept == len(MANY)
    undisturbed = Audit(tmp_path / "undisturbed", store, MANY)
    assert undisturbed.run().exit_code == 0
    assert audit.numbers() == undisturbed.numbers()


@pytest.mark.usefixtures("_here")
def test_a_picture_that_fails_is_left_out_listed_and_tried_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["failed", *MANY[:4], "unreadable", "wrong"]
    audit = Audit(tmp_path, store, texts)
    for _ in range(2):
        done = audit.run()
        assert done.exit_code == 0, done.output
        assert "pictures that cannot be decoded (listed in robustness.json): 1\n" in done.stdout
        assert "failed (listed in robustness.json; the same command tries them again): 1\n" in done.stdout
        numbers = audit.numbers()
        assert (numbers["n"], numbers["right"]) == (5, 4)
        assert (
            numbers["data"]
            | {
                "pictures": 7,
                "measured": 5,
                "unreadable": [{"file": "cat/05.jpg", "error": "damaged"}],
                "failed": [{"file": "cat/00.jpg", "error": "ValueError: bad"}],
            }
            == numbers["data"]
        )
    assert audit.kept == len(texts)
    monkeypatch.setenv("MENDED", "1")
    mended = audit.run()
    assert "6 of 7 pictures were measured by an earlier run" in mended.stderr
    assert "failed" not in mended.stdout
    assert audit.numbers()["n"] == 6
    assert audit.numbers()["data"]["failed"] == []


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("texts", "tried"),
    [
        (["failed"] * 20, 5),
        # Unreadable pictures and wrong predictions say nothing about the attack.
        (["unreadable", "wrong"] + ["failed", "wrong"] * 20, 11),
        (["failed", "wrong"], 2),
    ],
    ids=["the first ones", "whenever it attacks", "all"],
)
def test_an_audit_gives_up_when_the_first_pictures_fail(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: Sequence[str], tried: int
) -> None:
    audit = Audit(tmp_path, store, texts)
    done = audit.run()
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    failed = min(5, texts.count("failed"))
    assert line.startswith(
        f"error: no attack succeeded, and {failed} pictures failed, the last one with ValueError: bad"
    )
    assert audit.kept == tried
    monkeypatch.setenv("MENDED", "1")
    mended = audit.run()
    assert mended.exit_code == 0, mended.output
    assert audit.numbers()["right"] == texts.count("failed")


@pytest.mark.usefixtures("_here")
def test_an_audit_goes_on_after_one_success(store: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path, store, [*["failed"] * 4, "right", *["failed"] * 10])
    for _ in range(2):
        done = audit.run()
        assert done.exit_code == 0, done.output
        assert "tries them again): 14\n" in done.stdout
