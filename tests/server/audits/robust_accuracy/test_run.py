"""The command with a quick stand-in for measuring: interrupted, killed, and with pictures that fail."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from google.protobuf import json_format
from typer.testing import CliRunner, Result

from server.audits.robust_accuracy import quick_audits
from whybox import v1
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes.journal import JOURNAL, Record
from whybox_server.audits.passes.workers import Work
from whybox_server.cli import app

MANY = [f"picture {number}" for number in range(20)]


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in this process, which is quicker than starting others."""

    def measured(work: Work, pictures: Iterable[Labelled], *_: object) -> Generator[list[Record]]:
        for picture in pictures:
            yield quick_audits.measure_batch(work, [picture])

    monkeypatch.setattr("whybox_server.audits.passes.pool._measured", measured)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attack = v1.Attack(name="fmn", norms=["linf"])
    model = v1.Model(name="m", version="1", num_classes=2, labels=["cat", "dog"], norms=["linf"], attacks=[attack])
    model.default_attack = "fmn"
    store = tmp_path_factory.mktemp("store")
    with zipfile.ZipFile(store / "m.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(model))
    return store


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
        path = f"file:{self._save}/{JOURNAL}?mode=ro"
        # Without a file, or without tables in it, there are none.
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, uri=True)) as journal:
            (number,) = journal.execute("SELECT count(*) FROM pictures").fetchone()
            return int(number)
        return 0

    def numbers(self) -> dict[str, Any]:
        """The report without the folder of the pictures."""
        report: dict[str, Any] = json.loads((self._save / "robustness.json").read_text())
        assert report["data"].pop("folder") == str(self._data)
        return report


@pytest.mark.usefixtures("_here")
def test_an_audit_continues_after_an_interrupt_and_a_kill(store: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path, store, MANY)
    [line] = _stopped(audit, 2, signal.SIGINT, at=1).splitlines()
    assert line == "interrupted: all measurements are kept; run the same command again to continue"
    _stopped(audit, 1, signal.SIGKILL, at=audit.kept + 1)
    kept = audit.kept
    assert 2 <= kept < len(MANY)
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert f"{kept} of {len(MANY)} pictures were measured by an earlier run" in done.stderr
    assert audit.kept == len(MANY)
    undisturbed = Audit(tmp_path / "undisturbed", store, MANY)
    assert undisturbed.run().exit_code == 0
    assert audit.numbers() == undisturbed.numbers()


def _stopped(audit: Audit, workers: int, number: signal.Signals, at: int) -> str:
    """Stops the command when the journal has `at` records, checks that no process is left, and returns its stderr."""
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(
            [sys.executable, quick_audits.__file__, *audit.arguments(workers)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            env=os.environ | {"MOMENT": "0.1"},
        ) as process,
    ):
        _wait_for(lambda: audit.kept >= at)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        if number == signal.SIGKILL:
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
        else:  # as a terminal does it: to all of them
            os.killpg(process.pid, number)
            assert process.wait(10) == 128 + number
        _wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
        stderr.seek(0)
        return stderr.read()


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


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
