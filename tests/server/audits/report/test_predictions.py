"""Tables of predictions: the same findings without a model, and published accuracies."""

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from whybox_server.audits.data.dataset import Choice
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.pictures import write_pictures
from whybox_server.audits.report.groups import Group, groups
from whybox_server.audits.report.predictions import predictions
from whybox_server.cli.app import app

IMAGENET_X = Path(os.environ.get("WHYBOX_DATA", "")) / "imagenet-x"


def table(folder: Path) -> Path:
    """Of 200 dogs: those in snow are mistaken half of the time, at the same confidence, and the others never."""
    rows = ["file,label,predicted,confidence,snow"]
    rows += [f"{n}.jpg,dog,{'wolf' if n % 4 == 0 else 'dog'},0.{90 + n % 7},{n % 2 == 0}" for n in range(200)]
    rows += ["w.jpg,wolf,wolf,0.9,False"]
    path = folder / "predictions.csv"
    path.write_text("\n".join(rows))
    return path


def run(path: Path, *more: str) -> Result:
    given = ["audit", "--predictions", str(path), "--save", str(path.parent / "save"), *more]
    return CliRunner().invoke(app, given, env={"COLUMNS": "200"})


def test_what_predictions_tell(tmp_path: Path) -> None:
    done = run(table(tmp_path), "--fail-on", "flagged")
    assert done.exit_code == 3, done.output
    manifest = json.loads((tmp_path / "save" / "audit.json").read_text())
    flags = {(flag["kind"], flag["attribute"], flag["value"]): flag for flag in manifest["flags"] if flag["n"] > 1}
    error_rate, calibration = (flags[(kind, "snow", "True")] for kind in ("error_rate", "calibration"))
    assert len(flags) == 2
    assert (error_rate["state"], calibration["state"]) == ("flagged", "flagged")
    assert (error_rate["effect"], error_rate["n_with"], error_rate["n_without"]) == (0.5, 100, 100)
    assert calibration["effect"] == pytest.approx(0.5, abs=0.01)
    rows = parquet.read_table(tmp_path / "save" / "audit.parquet").to_pylist()
    assert len(rows) == 201
    assert {(row["label_name"], row["predicted_name"]) for row in rows} == {
        ("dog", "dog"),
        ("dog", "wolf"),
        ("wolf", "wolf"),
    }
    assert {row["sha256"] for row in rows} == {None}


def test_without_confidence_there_is_no_calibration(tmp_path: Path) -> None:
    path = table(tmp_path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    columns = {name: [row[name] for row in rows] for name in ("file", "label", "predicted", "snow")}
    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table(columns), path)
    assert run(path).exit_code == 0
    manifest = json.loads((tmp_path / "save" / "audit.json").read_text())
    assert {flag["kind"] for flag in manifest["flags"]} == {"error_rate"}
    assert manifest["groups"][0]["confidence"] is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("predicted", "answer", 1), "has no column 'predicted'; it has file, label, answer"),
        (lambda text: text.replace("file", "path", 1), "has no column 'file'; it has path"),
        (lambda text: text.replace("1.jpg,dog,dog", "1.jpg,dog,", 1), "1.jpg has no class in column 'predicted'"),
        (lambda text: text.replace("0.91", "91", 1), "1.jpg has '91' in column 'confidence'; it must be 0 to 1"),
        (lambda text: text.replace("0.91", "high", 1), "1.jpg has 'high' in column 'confidence'; it must be 0 to 1"),
        (lambda text: text.replace("2.jpg", "1.jpg", 1), "line 4: 1.jpg has two rows; keep one row per picture"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, spoil: Callable[[str], str], words: str) -> None:
    path = table(tmp_path)
    path.write_text(spoil(path.read_text()))
    done = run(path)
    assert done.exit_code == 1, done.output
    assert words in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        *(
            "--labels t.csv",
            "--model m",
            "--model-store .",
            "--norm l2",
            "--primary-norm l2",
            "--budget fast",
            "--fresh",
        ),
        *("--attack fmn", "--calibration t.csv", "--calibration-folder .", "--no-repeat", "--agreement", "--view"),
        *("--removal blur", "--workers 1", "--engine processes", "--ray-address h:1", "--device cpu"),
    ],
)
def test_options_that_have_no_meaning_are_refused(tmp_path: Path, option: str) -> None:
    done = run(table(tmp_path), *option.split())
    assert done.exit_code == 1, done.output
    name = option.split()[0]
    assert f"{name} is for pictures and a model, and --predictions has neither; leave {name} out" in done.stderr


def test_predictions_confirm_others_of_the_same_classes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    path, other = table(tmp_path), table(tmp_path / "other")
    assert run(other).exit_code == 0
    confirming = ("--confirm", str(other.parent / "save"))
    done = run(path, *confirming)
    assert done.exit_code == 1, done.output
    assert "201 of its pictures are audited here too; a confirmation needs other pictures" in done.stderr

    other.write_text(re.sub(r"^(?=.*jpg)", "other/", other.read_text(), flags=re.MULTILINE))
    assert run(other).exit_code == 0
    done = run(path, *confirming)
    assert done.exit_code == 0, done.output
    flags = json.loads((tmp_path / "save" / "audit.json").read_text())["flags"]
    assert {flag["kind"] for flag in flags if flag["confirmation_p_value"] is not None} == {"error_rate", "calibration"}

    # The names of classes are numbered in their order, so that another name is another class 0.
    other.write_text(other.read_text().replace("dog", "ant"))
    assert run(other).exit_code == 0
    done = run(path, *confirming)
    assert done.exit_code == 1, done.output
    assert "its class 0 is 'ant', and here it is 'dog'; both tables must name the same classes" in done.stderr


@pytest.mark.skipif(not IMAGENET_X.is_dir(), reason="needs imagenet-x at WHYBOX_DATA")
@pytest.mark.parametrize("model", ["ResNet50", "ViT"])
def test_published_accuracies_by_factor(tmp_path: Path, model: str) -> None:
    """Those of ImageNet-X (Idrissi et al., ICLR 2023) come out exactly."""
    annotations, predicted = np.load(IMAGENET_X / "annotations.npz"), np.load(IMAGENET_X / f"predictions_{model}.npz")
    rows = annotations["val_number"] - 1
    columns = {
        "file": [f"ILSVRC2012_val_{number:08}.JPEG" for number in annotations["val_number"]],
        "label": annotations["class_index"].astype(int),
        "predicted": predicted["predicted_class"][rows].astype(int),
        "confidence": predicted["predicted_probability"][rows].astype(float),
        "prototype": annotations["prototype"],
    }
    factors = [str(factor) for factor in annotations["factors"]]
    columns |= dict(zip(factors, annotations["multi"].T, strict=True))
    path = tmp_path / "predictions.parquet"
    parquet.write_table(pa.table(columns), path)
    everything, *others = described(path, tmp_path / "audit.parquet", factors)
    with (IMAGENET_X / "published_multi_class.csv").open(newline="") as lines:
        published = {row["model"]: row for row in csv.DictReader(lines)}[model]
    assert everything.n == 46_110
    assert everything.accuracy == float(published["average"])
    found = {group.attribute: group.accuracy for group in others if group.value == "true"}
    assert found == {factor: float(published[factor]) for factor in factors}


def described(path: Path, save: Path, attributes: list[str]) -> list[Group]:
    """The groups of the pictures that are no prototypes, as the command describes them, without its tests."""
    with predictions(path, Choice(where=("prototype=false",))) as found:
        assert found.data.left_out == 2_758
        copies = Copies(found.data, found.journal)
        write_pictures(save, found.data, found.journal, copies, found.labels, ())
        assert (copies.same, copies.near) == (0, 0)
        return groups(PictureTable(save, attributes))
