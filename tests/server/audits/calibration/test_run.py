"""Calibration by the real command, with a stand-in for the network, and what of it is packed."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from scipy.stats import beta, binom
from typer.testing import CliRunner, Result

from whybox import v1
from whybox_server.audits.bank import read_bank
from whybox_server.audits.calibration.run import ALPHAS, MIN_PICTURES, SCORES
from whybox_server.audits.calibration.thresholds import read_thresholds
from whybox_server.audits.data.errors import DataSetError
from whybox_server.cli.app import app

pytestmark = pytest.mark.usefixtures("_here")

AUDITED = 12


def _write(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """The audited pictures."""
    for number in range(AUDITED):
        folder = tmp_path / "pets" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_text(f"right\naudited {number}")
    return tmp_path / "pets"


def others(folder: Path, number: int, texts: Sequence[str] = (), split: Sequence[str] = ()) -> Path:
    """A calibration table of `number` pictures, one in four predicted wrong, and further pictures with these texts."""
    pictures = folder / "others"
    pictures.mkdir(exist_ok=True)
    written = [f"{'wrong' if place % 4 == 0 else 'right'}\n{place}" for place in range(number)]
    rows = [["file", "label", *(["split"] if split else [])]]
    for place, text in enumerate([*written, *texts]):
        (pictures / f"{place:04}.jpg").write_text(text)
        rows.append([f"{place:04}.jpg", "cat" if place % 2 else "dog", *split[place : place + 1]])
    return _write(folder / "others.csv", rows)


def audited(pets: Path, store: Path, *given: object) -> Result:
    save = pets.parent / "save"
    command = ["audit", pets, "--model-store", store, "--save", save, "--workers", 1, "--budget", "fast", *given]
    return CliRunner().invoke(app, [str(each) for each in command])


def calibrated(pets: Path, store: Path, table: Path, *given: object) -> dict[str, Any]:
    done = audited(pets, store, "--calibration", table, "--calibration-folder", pets.parent / "others", *given)
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads((pets.parent / "save" / "audit.json").read_text())
    return report


def rows_of(pets: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(pets.parent / "save" / SCORES).to_pylist()
    return rows


def _as_low(covered: int, n: int, rank: int, beyond: int) -> float:
    """The chance of at most `covered` of `n`, when the coverage of a calibration is Beta(rank, beyond)."""
    shares, weights = np.polynomial.legendre.leggauss(400)
    shares, weights = (shares + 1) / 2, weights / 2
    return float(np.sum(weights * beta.pdf(shares, rank, beyond) * binom.cdf(covered, n, shares)))


def test_every_number_follows_from_the_table_of_scores(pets: Path, store: Path) -> None:
    found = calibrated(pets, store, others(pets.parent, 401))["calibration"]
    rows = rows_of(pets)
    first, second = ([row for row in rows if row["part"] == part] for part in ("calibration", "test"))
    assert (found["state"], found["data_set"], found["division"]) == ("ok", "others", "seeded halves")
    assert (found["pictures"], found["usable"], found["n"], found["coverage_n"]) == (401, 401, 201, 200)
    assert (len(first), len(second)) == (201, 200)
    assert [(each["method"], each["alpha"]) for each in found["sets"]] == [
        (method, alpha) for method in ("aps", "lac") for alpha in ALPHAS
    ]
    for each in found["sets"]:
        method, alpha = each["method"], each["alpha"]
        limit = sorted(row[method] for row in first)[int(np.ceil(202 * (1 - alpha) - 1e-9)) - 1]
        assert each["threshold"] == limit
        covered = [row[method] <= limit or row["label"] == row["predicted"] for row in second]
        assert (each["covered"], each["n"], each["coverage"]) == (sum(covered), 200, sum(covered) / 200)
        assert each["ci_low"] == pytest.approx(beta.ppf(0.025, sum(covered), 201 - sum(covered)))
        high = beta.ppf(0.975, sum(covered) + 1, 200 - sum(covered)) if sum(covered) < 200 else 1
        assert each["ci_high"] == pytest.approx(high)
        rank = int(np.ceil(202 * (1 - alpha) - 1e-9))
        assert each["p_value"] == pytest.approx(_as_low(sum(covered), 200, rank, 202 - rank), abs=1e-6)
        sizes = [row[f"{method}.size.{alpha:g}"] for row in second]
        assert each["mean_size"] == pytest.approx(np.mean(sizes))
        assert set(sizes) <= {1, 2}
        assert [of_class["class_index"] for of_class in each["by_class"]] == [0, 1]
        assert sum(of_class["covered"] for of_class in each["by_class"]) == sum(covered)
    assert all(row["lac"] is not None for row in rows)


def test_the_bank_answers_as_the_report(pets: Path, store: Path) -> None:
    report = calibrated(pets, store, others(pets.parent, 300))
    bank = read_bank(pets.parent / "save")
    assert bank.audit.calibration == v1.Calibration(
        state="ok", data_set="others", pictures=300, n=150, coverage_n=150, methods=["aps", "lac"]
    )
    rows = rows_of(pets)
    for known in bank.thresholds:
        scores = sorted(row[known.method] for row in rows if row["part"] == "calibration")
        assert list(known.thresholds) == scores
        for each in report["calibration"]["sets"]:
            if each["method"] == known.method:
                assert each["covered"] in {
                    covered
                    for limit, covered in zip(known.thresholds, known.covered, strict=True)
                    if limit == each["threshold"]
                }
    thinned = read_thresholds(pets.parent / "save", report, most=40)
    assert [len(known.thresholds) for known in thinned] == [40, 40]
    assert [known.thresholds[-1] for known in thinned] == [known.thresholds[-1] for known in bank.thresholds]


@pytest.mark.parametrize(("number", "state"), [(99, "insufficient_data"), (100, "ok")])
def test_how_many_pictures_are_needed(pets: Path, store: Path, number: int, state: str) -> None:
    found = calibrated(pets, store, others(pets.parent, number))["calibration"]
    assert (found["state"], found["usable"]) == (state, number)
    bank = read_bank(pets.parent / "save")
    assert (bank.audit.calibration.state, bool(bank.thresholds)) == (state, state == "ok")
    if number < MIN_PICTURES:
        assert found["message"] == "99 of 99 calibration pictures are usable; prediction sets need at least 100"
        assert (found["sets"], found["methods"]) == ([], [])


def test_pictures_that_do_not_count(pets: Path, store: Path) -> None:
    # Places 100 and on: dog, cat, dog, cat, ...
    texts = ["unreadable", "failed\nx", "right\naudited 3", "right\n5", "right\nboth", "right\nboth", "unreadable\n2"]
    found = calibrated(pets, store, others(pets.parent, 100, texts))["calibration"]
    assert (found["pictures"], found["usable"], found["state"]) == (107, 100, "ok")
    assert found["left_out"] == {"unreadable": 2, "failed": 1, "contradictory": 2, "audited": 1, "copy": 1}
    left = {row["file"]: row["left_out"] for row in rows_of(pets) if row["left_out"]}
    assert list(left.values()) == [
        "unreadable",
        "failed",
        "audited",
        "copy",
        "contradictory",
        "contradictory",
        "unreadable",
    ]
    assert {(row["part"], row["lac"]) for row in rows_of(pets) if row["left_out"]} == {("", None)}


def test_the_audited_pictures_calibrate_nothing(pets: Path, store: Path) -> None:
    rows = [["file", "label"], *([f"{name}/{n}.jpg", name] for n in range(AUDITED) for name in [("dog", "cat")[n % 2]])]
    done = audited(pets, store, "--calibration", _write(pets.parent / "same.csv", rows))
    assert done.exit_code == 0, done.output
    words = (
        f"0 of 12 calibration pictures are usable (left out: 12 audited); prediction sets need at least {MIN_PICTURES}"
    )
    assert f"prediction sets: insufficient_data: {words}" in " ".join(done.stdout.split())


def test_a_network_that_predicts_nothing_ends_the_audit(pets: Path, store: Path) -> None:
    table = others(pets.parent, 0, [f"failed\n{place}" for place in range(6)])
    done = audited(pets, store, "--calibration", table, "--calibration-folder", table.parent / "others")
    assert done.exit_code == 1
    assert "error: no prediction succeeded, and 5 pictures failed, the last one with ValueError: bad" in done.output


def test_a_column_divides_the_pictures(pets: Path, store: Path) -> None:
    split = ["test" if place % 3 else "calibration" for place in range(120)]
    found = calibrated(pets, store, others(pets.parent, 120, split=split))["calibration"]
    assert (found["n"], found["coverage_n"], found["division"]) == (40, 80, "column split")
    assert [row["part"] for row in rows_of(pets)] == split


def test_one_part_is_too_little(pets: Path, store: Path) -> None:
    found = calibrated(pets, store, others(pets.parent, 120, split=["test"] * 120))["calibration"]
    assert found["state"] == "insufficient_data"
    assert found["message"].startswith("the column split names one part")


def test_the_halves_depend_on_the_seed_and_not_on_names(pets: Path, store: Path) -> None:
    table = others(pets.parent, 100)
    parts = {}
    for seed in (0, 1):
        calibrated(pets, store, table, "--seed", seed, "--fresh")
        parts[seed] = {row["sha256"]: row["part"] for row in rows_of(pets)}
    assert parts[0] != parts[1]
    for number, path in enumerate(sorted((pets.parent / "others").iterdir(), reverse=True)):
        path.rename(path.with_name(f"renamed-{number:04}.jpg"))
    files = {path.name: path.read_text() for path in (pets.parent / "others").iterdir()}
    rows = [[name, "cat" if int(text.split("\n")[1]) % 2 else "dog"] for name, text in sorted(files.items())]
    calibrated(pets, store, _write(table, [["file", "label"], *rows]), "--fresh")
    assert {row["sha256"]: row["part"] for row in rows_of(pets)} == parts[0]


def test_the_calibration_is_part_of_the_audits_id_and_of_no_other_finding(pets: Path, store: Path) -> None:
    without = audited(pets, store)
    assert without.exit_code == 0, without.output
    report = json.loads((pets.parent / "save" / "audit.json").read_text())
    assert report["calibration"] is None
    assert not read_bank(pets.parent / "save").audit.HasField("calibration")
    again = calibrated(pets, store, others(pets.parent, 100))
    assert again["audit"] != report["audit"]
    for name in ("data", "groups", "classes", "columns"):
        assert again[name] == report[name]
    assert again["files"]["audit.parquet"] == report["files"]["audit.parquet"]


def test_nothing_is_predicted_twice(pets: Path, store: Path) -> None:
    table = others(pets.parent, 100)
    first = calibrated(pets, store, table)
    done = audited(pets, store, "--calibration", table, "--calibration-folder", pets.parent / "others", "--gap", 0.1)
    assert "100 of 100 pictures were measured by an earlier run" in done.stderr
    again = json.loads((pets.parent / "save" / "audit.json").read_text())
    assert again["calibration"] == first["calibration"]
    assert again["files"] == first["files"]


def test_scores_of_another_audit_are_refused(pets: Path, store: Path) -> None:
    calibrated(pets, store, others(pets.parent, 100))
    save = pets.parent / "save"
    shutil.copy(save / "audit.parquet", save / SCORES)
    with pytest.raises(DataSetError, match=r"is not the table that the audit in .* was made with"):
        read_bank(save)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--calibration", "none.csv"], "none.csv cannot be read"),
        (["--calibration-folder", "others"], "--calibration-folder holds the pictures of a table; give it with"),
    ],
)
def test_what_is_refused(pets: Path, store: Path, given: list[str], words: str) -> None:
    done = audited(pets, store, *given)
    assert done.exit_code == 1
    assert words in " ".join(done.stderr.split())


def test_other_parts_are_refused(pets: Path, store: Path) -> None:
    table = others(pets.parent, 3, split=["test", "train", "calibration"])
    done = audited(pets, store, "--calibration", table, "--calibration-folder", pets.parent / "others")
    assert done.exit_code == 1
    assert (
        "0001.jpg: column 'split' holds 'train'; a calibration table has the parts calibration and test" in done.stderr
    )
    assert not (pets.parent / "save" / "audit.parquet").exists()
