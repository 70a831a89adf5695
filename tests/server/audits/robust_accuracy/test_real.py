"""The real command on real pictures: begun anew or resumed, with one process or two, the numbers are the same."""

import csv
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner, Result

from whybox_server.audits.passes.journal import JOURNAL
from whybox_server.cli.app import app

COMMAND = Path(sys.executable).with_name("whybox-server")
PICTURES = 7
DAMAGED = "251/damaged.jpg"


@pytest.fixture(scope="module")
def data(pictures: dict[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real pictures in the folders of their classes, one of them in a wrong folder, and a damaged picture."""
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
    return ["robustness", *map(str, given)]


def finished(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)


def here(arguments: Sequence[str]) -> Result:
    """Runs in this process, which is quicker, when no picture has to be measured."""
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def undisturbed(data: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with one process and without an interrupt."""
    save = tmp_path_factory.mktemp("undisturbed")
    done = finished(arguments(data, archive, save, "--workers", 1))
    assert done.returncode == 0, done.stderr
    assert "pictures that cannot be decoded (listed in robustness.json): 1" in done.stdout
    return save


def report_of(save: Path) -> bytes:
    return (save / "robustness.json").read_bytes()


def table_of(save: Path) -> bytes:
    return (save / "audit.parquet").read_bytes()


def changed(save: Path, statement: str) -> None:
    with closing(sqlite3.connect(save / JOURNAL)) as journal, journal:
        journal.execute(statement)


def kept(save: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(save / JOURNAL)) as journal:
        return journal.execute("SELECT * FROM pictures ORDER BY file").fetchall()


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
    rows = parquet.read_table(undisturbed / "audit.parquet").to_pylist()
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    assert len(rows) == PICTURES
    for row in rows:
        assert row["right"] == (row["label"] == row["predicted"]) == (row["linf.distance"] is not None)
        assert 0 < row["confidence"] <= 1
        assert len(row["embedding"]) == 1280
        assert row["aspect_ratio"] == row["width"] / row["height"]
        assert 0 < row["brightness"] < 1
    with Image.open(undisturbed / "robustness.png") as picture:
        picture.verify()


def test_what_is_cut_or_was_another_picture_is_measured_again(
    undisturbed: Path, data: Path, archive: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    first, second, third, *_ = (row[0] for row in kept(tmp_path))
    changed(tmp_path, f"UPDATE pictures SET sha256 = '00', predicted = NULL WHERE file = '{first}'")
    changed(tmp_path, f"UPDATE pictures SET label = 999 WHERE file = '{second}'")
    changed(tmp_path, f"DELETE FROM pictures WHERE file = '{third}'")
    done = finished(arguments(data, archive, tmp_path, "--workers", 2))
    assert done.returncode == 0, done.stderr
    assert f"{PICTURES + 1 - 3} of {PICTURES + 1} pictures were measured by an earlier run" in done.stderr
    assert report_of(tmp_path) == report_of(undisturbed)
    assert table_of(tmp_path) == table_of(undisturbed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", 3], "was begun with other settings (budget 2 instead of 3); start over with --fresh"),
        (["--norm", "l2"], "norms ['linf'] instead of ['l2']"),
        (["--norm", "l1"], "error: --norm is 'l1'; it must be one of linf, l2"),
        (["--norm", "l2", "--norm", "l2"], "error: --norm names something twice"),
        (["--budget", "lavish"], "error: --budget: 'lavish' is no budget"),
        (["--budget", "deadline"], "error: --budget: an audit has no deadline"),
        (["--attack", "no"], "error: --attack is 'no'; it must be one of fmn"),
        (["--attack", "ddn"], "error: --attack: ddn measures in l2, not in linf"),
        (["--model", "no"], "holds no no"),
        (["--labels", "no.csv"], "no.csv cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: list[object], words: str, undisturbed: Path, data: Path, archive: Path
) -> None:
    before = kept(undisturbed)
    done = here(arguments(data, archive, undisturbed, *options))
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert kept(undisturbed) == before


def test_no_picture_can_be_decoded(undisturbed: Path, data: Path, archive: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "data" / DAMAGED
    damaged.parent.mkdir(parents=True)
    shutil.copy(data / DAMAGED, damaged)
    # What was measured already needs no process.
    shutil.copytree(undisturbed, tmp_path / "save")
    done = here(arguments(tmp_path / "data", archive, tmp_path / "save"))
    assert done.exit_code == 1
    assert "error: none of the 1 pictures can be decoded" in done.stderr


@pytest.mark.skipif("WHYBOX_DATA" not in os.environ, reason="needs the pictures and labels at WHYBOX_DATA")
def test_real_pictures_labelled_by_a_table(archive: Path, tmp_path: Path) -> None:
    folder = Path(os.environ["WHYBOX_DATA"])
    with (folder / "imagen.csv").open(newline="") as lines:
        labels = {row["file"]: int(row["imagenet1k_index"]) for row in csv.DictReader(lines)}
    others = sum(label == -1 for label in labels.values())
    options = ["--labels", folder / "imagen.csv", "--limit", 4, "--workers", 1]
    done = finished(arguments(folder / "imagen", archive, tmp_path, *options))
    assert done.returncode == 0, done.stderr
    assert f"pictures that show no class of the model: {others}\n" in done.stdout
    records = parquet.read_table(tmp_path / "audit.parquet").to_pylist()
    assert [record["label"] for record in records] == [labels[record["file"]] for record in records]
    report = json.loads(report_of(tmp_path))
    told = report["data"]
    assert (told["not_of_the_model"], told["unlabelled"], told["unreadable"], told["failed"]) == (others, 0, [], [])
    right = [record for record in records if record["predicted"] == record["label"]]
    assert (report["n"], report["right"], len(records)) == (4, len(right), 4)
    distances = [math.inf if (found := record["linf.distance"]) is None else found for record in right]
    linf = report["norms"]["linf"]
    assert linf["median"]["value"] == pytest.approx(np.median(distances))
    for radius, accuracy in zip(linf["customary"]["radius"], linf["customary"]["accuracy"], strict=True):
        assert accuracy == np.mean([*(distance > radius for distance in distances), *[False] * (4 - len(right))])
