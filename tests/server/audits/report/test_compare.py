"""Two audits side by side, against changes that are known."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import stats
from typer.testing import CliRunner, Result

from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.report.compare import compare
from whybox_server.cli.app import app

NUMBER = 120


def audited(folder: Path, name: str, right: list[bool], confidence: float = 0.8, begin: int = 0) -> Path:
    """An audit of predictions; half of the pictures have snow."""
    rows = ["file,label,predicted,confidence,snow"]
    rows += [f"{n:03}.jpg,0,{0 if right[n] else 1},{confidence},{n % 2}" for n in range(begin, len(right))]
    table = folder / f"{name}.csv"
    table.write_text("\n".join(rows))
    done = CliRunner().invoke(app, ["audit", "--predictions", str(table), "--save", str(folder / name)])
    assert done.exit_code == 0, done.output
    return folder / name


def with_distances(folder: Path, factor: float) -> None:
    """Puts distances into the table of an audit: random ones, multiplied."""
    table = parquet.read_table(folder / "audit.parquet")
    draws = np.random.default_rng(0).uniform(0.1, 1, len(table)) * factor
    right = table["right"].to_numpy()
    table = table.append_column(
        "linf.distance", pa.array([d if r else None for d, r in zip(draws, right, strict=True)])
    )
    table = table.append_column("linf.searched_radius", pa.array([9.0 if r else None for r in right]))
    table = table.append_column("linf.reasons", pa.array([[] if r else None for r in right], pa.list_(pa.string())))
    parquet.write_table(table, folder / "audit.parquet")


def invoked(*given: object) -> Result:
    return CliRunner().invoke(app, ["audit", "compare", *map(str, given)], env={"COLUMNS": "200"})


def test_a_change_of_accuracy_and_of_flags(tmp_path: Path) -> None:
    # In the first audit pictures in snow are mistaken half of the time; in the second only two pictures are.
    before = audited(tmp_path, "before", [n % 4 != 1 for n in range(NUMBER)])
    after = audited(tmp_path, "after", [n not in (10, 11) for n in range(NUMBER + 5)], begin=5)
    comparison = compare(before, after)
    assert (comparison.pictures, comparison.only_first, comparison.only_second) == (NUMBER - 5, 5, 5)
    [change] = comparison.changes
    both = range(5, NUMBER)
    gained, lost = sum(n % 4 == 1 for n in both), sum(n in (10, 11) for n in both)
    assert change.first == pytest.approx(1 - gained / len(both))
    assert change.second == pytest.approx(1 - lost / len(both))
    assert change.change == pytest.approx((gained - lost) / len(both))
    assert change.low < change.change < change.high
    assert change.p_value == pytest.approx(stats.binomtest(lost, gained + lost).pvalue)
    states = {(flag.kind, flag.attribute): (flag.first, flag.second) for flag in comparison.flags}
    assert states[("error_rate", "snow")] == ("flagged", "not_detected")


def test_a_change_of_distances(tmp_path: Path) -> None:
    before, after = (audited(tmp_path, name, [n % 3 != 0 for n in range(NUMBER)]) for name in ("before", "after"))
    with_distances(before, 1.0)
    with_distances(after, 2.0)
    accuracy, distance = compare(before, after).changes
    assert (accuracy.change, accuracy.low, accuracy.high, accuracy.p_value) == (0, 0, 0, 1)
    assert (distance.measure, distance.n) == ("distance in linf", NUMBER * 2 // 3)
    assert (distance.change, distance.low, distance.high) == pytest.approx((2, 2, 2))
    assert distance.second == pytest.approx(2 * distance.first)
    assert distance.p_value < 1e-9


def test_the_command_says_and_saves_it(tmp_path: Path) -> None:
    before = audited(tmp_path, "before", [n % 4 != 1 for n in range(NUMBER)])
    after = audited(tmp_path, "after", [True] * NUMBER)
    done = invoked(before, after, "--save", tmp_path / "c.json")
    assert done.exit_code == 0, done.output
    assert f"{NUMBER} pictures in both, 0 only in the first, 0 only in the second" in done.stdout
    assert "accuracy: 0.75 to 1 (change +0.25, 95 % interval" in done.stdout
    assert "error_rate of 0 with snow = 1: flagged to not_detected" in done.stdout
    assert json.loads((tmp_path / "c.json").read_text())["pictures"] == NUMBER
    same = invoked(before, before)
    assert "no flag changed its state" in same.stdout


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    before = audited(tmp_path, "before", [True] * 10)
    other = audited(tmp_path, "other", [True] * 30, begin=20)
    with pytest.raises(DataSetError, match="have no picture in common"):
        compare(before, other)
    done = invoked(before, tmp_path / "nowhere")
    assert done.exit_code == 1
    assert "nowhere holds no audit" in done.stderr


@pytest.mark.parametrize("manifest", ["null", "[1]", "{}", '{"audit": "x", "flags": [{}]}'])
def test_a_manifest_that_is_none(tmp_path: Path, manifest: str) -> None:
    before = audited(tmp_path, "before", [True] * 10)
    (before / "audit.json").write_text(manifest)
    done = invoked(before, before)
    assert done.exit_code == 1
    assert "audit.json is damaged, or of another version of Whybox; run the audit again" in done.stderr


@pytest.mark.parametrize("column", ["sha256", "label_name", "right"])
def test_a_table_of_another_version(tmp_path: Path, column: str) -> None:
    before = audited(tmp_path, "before", [True] * 10)
    parquet.write_table(parquet.read_table(before / "audit.parquet").drop([column]), before / "audit.parquet")
    done = invoked(before, before)
    assert done.exit_code == 1
    assert f"audit.parquet lacks {column}: another version of Whybox wrote it; run the audit again" in done.stderr
