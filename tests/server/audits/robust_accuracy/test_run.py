"""The command with a quick stand-in for the measuring: interrupted, killed, and where measuring fails."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result
from google.protobuf import json_format
from typer.testing import CliRunner

import quick_audits
from whybox import v1
from whybox_server.audits import audit as walk
from whybox_server.audits.dataset import Labelled
from whybox_server.audits.journal import Record
from whybox_server.audits.workers import Work
from whybox_server.cli import app

MANY = [f"picture {number}" for number in range(20)]


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures in this process, which is quicker than to start others."""

    def measured(work: Work, batches: Iterable[Sequence[Labelled]], _workers: int) -> Generator[list[Record]]:
        for batch in batches:
            yield quick_audits.measure(work, batch)

    monkeypatch.setattr(walk, "_measured", measured)


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
            (self._data / "cat" / f"{number:02}.jpg").write_text(text)

    def arguments(self, workers: int = 1) -> list[str]:
        given = [self._data, "--model-store", self._store, "--save", self._save, "--workers", workers]
        return ["robustness", *map(str, given)]

    def run(self) -> Result:
        """In this process; see `_here`."""
        return CliRunner().invoke(app, self.arguments())

    @property
    def lines(self) -> list[str]:
        """Of the journal, its settings included."""
        path = self._save / "pictures.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    def numbers(self) -> dict[str, Any]:
        """The report, but for where the pictures lie."""
        report: dict[str, Any] = json.loads((self._save / "robustness.json").read_text())
        assert report["data"].pop("folder") == str(self._data)
        return report


@pytest.mark.usefixtures("_here")
def test_interrupted_and_killed_it_goes_on(store: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path, store, MANY)
    [line] = _stopped(audit, 2, signal.SIGINT, at=2).splitlines()
    assert line == "interrupted: what is measured is kept; the same command goes on from there"
    _stopped(audit, 1, signal.SIGKILL, at=len(audit.lines) + 1)
    kept = len(audit.lines) - 1
    assert 2 <= kept < len(MANY)
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert f"{kept} of {len(MANY)} pictures were measured by an earlier run" in done.stderr
    assert len(audit.lines) == 1 + len(MANY)
    undisturbed = Audit(tmp_path / "undisturbed", store, MANY)
    assert undisturbed.run().exit_code == 0
    assert audit.numbers() == undisturbed.numbers()


def _stopped(audit: Audit, workers: int, number: signal.Signals, at: int) -> str:
    """What it says on stderr, stopped as soon as the journal has so many lines; nothing of it must be left."""
    with subprocess.Popen(
        [sys.executable, quick_audits.__file__, *audit.arguments(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"MOMENT": "0.1"},
    ) as process:
        _wait_for(lambda: len(audit.lines) >= at)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        if number == signal.SIGKILL:
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
        else:  # as a terminal does it: to all of them
            os.killpg(process.pid, number)
            assert process.wait(10) == 128 + number
        _wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
        assert process.stderr is not None
        return process.stderr.read()


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.usefixtures("_here")
def test_a_picture_on_which_it_fails_is_left_out_told_and_tried_again(
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
    # Only that one was tried again.
    assert len(audit.lines) == 1 + len(texts) + 1
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
        # What is said of these does not depend on the attack.
        (["unreadable", "wrong"] + ["failed", "wrong"] * 20, 11),
        (["failed", "wrong"], 2),
    ],
    ids=["the first ones", "whenever it attacks", "all"],
)
def test_what_fails_always_ends_early(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: Sequence[str], tried: int
) -> None:
    audit = Audit(tmp_path, store, texts)
    done = audit.run()
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    failed = min(5, texts.count("failed"))
    assert line.startswith(
        f"error: no picture could be attacked, and {failed} failed, the last one with ValueError: bad"
    )
    assert len(audit.lines) == 1 + tried
    monkeypatch.setenv("MENDED", "1")
    mended = audit.run()
    assert mended.exit_code == 0, mended.output
    assert audit.numbers()["right"] == texts.count("failed")


@pytest.mark.usefixtures("_here")
def test_one_success_is_hope_enough(store: Path, tmp_path: Path) -> None:
    audit = Audit(tmp_path, store, [*["failed"] * 4, "right", *["failed"] * 10])
    for _ in range(2):
        done = audit.run()
        assert done.exit_code == 0, done.output
        assert "tries them again): 14\n" in done.stdout
