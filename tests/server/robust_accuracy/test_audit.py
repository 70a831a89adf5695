"""The real command on real pictures: interrupted or not, with one process or two, the numbers are the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from PIL import Image

COMMAND = Path(sys.executable).with_name("whybox-server")
PICTURES = 7
DAMAGED = "251/damaged.jpg"


@pytest.fixture(scope="module")
def data(pictures: dict[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some real pictures in folders of their classes, one of them in a wrong one, and a damaged one."""
    folder = tmp_path_factory.mktemp("data")
    for number, (path, label) in enumerate(list(pictures.items())[:PICTURES]):
        inner = folder / str(label if number else 0)
        inner.mkdir(exist_ok=True)
        shutil.copy(path, inner)
    (folder / "251").mkdir(exist_ok=True)
    (folder / DAMAGED).write_bytes(next(iter(pictures)).read_bytes()[:2000])
    return folder


def arguments(data: Path, archive: Path, save: Path, *more: object) -> list[str]:
    given = [data, "--model-store", archive.parent, "--budget", 2, "--save", save, *more]
    return [str(COMMAND), "robustness", *map(str, given)]


def finished(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def undisturbed(data: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with one process that nobody interrupts."""
    save = tmp_path_factory.mktemp("undisturbed")
    done = finished(arguments(data, archive, save, "--workers", 1))
    assert done.returncode == 0, done.stderr
    assert "pictures that cannot be decoded (listed in robustness.json): 1" in done.stdout
    return save


def report_of(save: Path) -> bytes:
    return (save / "robustness.json").read_bytes()


def lines_of(save: Path) -> list[str]:
    path = save / "pictures.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_what_a_run_leaves(undisturbed: Path) -> None:
    report = json.loads(report_of(undisturbed))
    assert report["measure"].startswith("empirical robust accuracy: an upper bound")
    assert report["n"] == PICTURES
    assert [each["file"] for each in report["data"]["unreadable"]] == [DAMAGED]
    assert report["right"] < PICTURES
    curve = report["norms"]["linf"]["curve"]
    assert curve["accuracy"][0] == pytest.approx(report["right"] / PICTURES, rel=1e-5)
    assert curve["accuracy"][-1] == 0
    assert sum(each["n"] for each in report["classes"]) == PICTURES
    assert len(lines_of(undisturbed)) == 1 + PICTURES + 1
    with Image.open(undisturbed / "robustness.png") as picture:
        picture.verify()


def test_what_is_cut_or_was_another_picture_is_measured_again(
    undisturbed: Path, data: Path, archive: Path, tmp_path: Path
) -> None:
    header, *lines = (undisturbed / "pictures.jsonl").read_text().splitlines(keepends=True)
    first, second = (json.loads(line) for line in lines[:2])
    lines[0] = json.dumps(first | {"sha256": "00", "predicted": None}) + "\n"
    lines[1] = json.dumps(second | {"label": 999}) + "\n"
    lines[-1] = lines[-1][:40]
    (tmp_path / "pictures.jsonl").write_text(header + "".join(lines))
    done = finished(arguments(data, archive, tmp_path, "--workers", 2))
    assert done.returncode == 0, done.stderr
    assert f"{PICTURES + 1 - 3} of {PICTURES + 1} pictures were measured by an earlier run" in done.stderr
    assert report_of(tmp_path) == report_of(undisturbed)


def test_interrupted_and_killed_it_goes_on(undisturbed: Path, data: Path, archive: Path, tmp_path: Path) -> None:
    command = arguments(data, archive, tmp_path, "--workers", 2)
    stderr = _stopped(command, tmp_path, signal.SIGINT, at=2)
    [line] = stderr.splitlines()
    assert line == "interrupted: what is measured is kept; the same command goes on from there"
    command = arguments(data, archive, tmp_path, "--workers", 1)
    _stopped(command, tmp_path, signal.SIGKILL, at=len(lines_of(tmp_path)) + 1)
    done = finished(command)
    assert done.returncode == 0, done.stderr
    assert report_of(tmp_path) == report_of(undisturbed)


def _stopped(command: Sequence[str], save: Path, number: signal.Signals, at: int) -> str:
    """What it says on stderr, stopped as soon as the journal has so many lines; nothing of it must be left."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        _wait_for(lambda: len(lines_of(save)) >= at)
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


def _wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", 3], "was begun with other settings (budget 2 instead of 3); begin again with --fresh"),
        (["--norm", "l2"], "norms ['linf'] instead of ['l2']"),
        (["--norm", "l1"], "'l1' is not known; use one of linf, l2"),
        (["--budget", "deadline"], "an audit has no deadline"),
        (["--attack", "no"], "'no' is not known; use one of fmn"),
        (["--model", "no"], "holds no no"),
        (["--labels", "no.csv"], "no.csv cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: list[object], words: str, undisturbed: Path, data: Path, archive: Path
) -> None:
    before = lines_of(undisturbed)
    done = finished(arguments(data, archive, undisturbed, *options))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert lines_of(undisturbed) == before


def test_no_picture_can_be_decoded(undisturbed: Path, data: Path, archive: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "data" / DAMAGED
    damaged.parent.mkdir(parents=True)
    shutil.copy(data / DAMAGED, damaged)
    # What was measured already needs no process.
    shutil.copytree(undisturbed, tmp_path / "save")
    done = finished(arguments(tmp_path / "data", archive, tmp_path / "save"))
    assert done.returncode == 1
    assert "error: none of the 1 pictures can be decoded" in done.stderr
