"""From the folder of an audit to its bank, and folders that hold no audit."""

import csv
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import json_format
from pyarrow import parquet
from typer.testing import CliRunner

from server.audits import quick_audits
from whybox import v1
from whybox.v1.vocabulary import BUDGETS
from whybox_server.audits.bank import read_bank, read_files
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes import pool
from whybox_server.audits.passes.pictures import digest_of
from whybox_server.cli.app import app

CATS, DOGS = 160, 3
MODEL = v1.Model(
    name="m",
    version="1.2",
    num_classes=3,
    labels=["cat", "dog", "cow"],
    norms=["linf"],
    attacks=[v1.Attack(name="fmn", norms=["linf"])],
    default_attack="fmn",
    digests=v1.Digests(weights_sha256="aa", onnx_sha256="bb", preprocessing_sha256="cc", labels_sha256="dd"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of 160 cats, half of them with hats, which are mostly misclassified, and of 3 dogs."""
    place = tmp_path_factory.mktemp("audit")
    data, save = place / "pets", place / "save"
    data.mkdir()
    with zipfile.ZipFile(place / "m-1.2.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(MODEL))
    rows = [["file", "label", "hat", "trained_on"]]
    for number in range(CATS + DOGS):
        hat, cat = number % 2, number < CATS
        (data / f"{number}.jpg").write_text(f"{'wrong' if hat and cat and number % 10 else 'right'}\n{number}")
        trained = ("1", "yes", "0", "unknown")[number % 4] if cat else ""
        rows.append([f"{number}.jpg", "cat" if cat else "dog", str(hat), trained])
    with (place / "labels.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_measured", quick_audits.measured_here)
        given = ["audit", data, "--labels", place / "labels.csv", "--model-store", place, "--save", save]
        done = CliRunner().invoke(app, [*map(str, given), "--workers", "1", "--budget", "fast"])
    assert done.exit_code == 0, done.output
    return save


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the audit that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_bank_has_what_the_audit_found(folder: Path) -> None:
    bank = read_bank(folder)
    report: dict[str, Any] = json.loads((folder / "audit.json").read_text())
    assert bank.audit == v1.Audit(
        id=report["audit"],
        data_set="pets",
        pictures=CATS + DOGS,
        classes=2,
        attributes=["hat"],
        attack="fmn",
        norms=["linf"],
        primary_norm="linf",
        budget=BUDGETS["fast"],
        trained_on=bank.classes[0].trained_on,
        model="m",
        version="1.2",
        digests=MODEL.digests,
        files=[
            v1.AuditFile(format=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name in ("json", "html")
            for content in [(folder / f"audit.{name}").read_bytes()]
        ],
    )
    cats, dogs = bank.classes
    rows = parquet.read_table(folder / "audit.parquet").to_pylist()
    right = [row for row in rows if row["right"] and row["label"] == 0]
    [distances] = cats.distances
    assert (distances.norm, list(distances.distances)) == ("linf", sorted(row["linf.distance"] for row in right))
    assert cats.trained_on == sum(row["table.trained_on"] in ("1", "yes") for row in right) > 0
    assert (cats.class_index, dogs.class_index, dogs.trained_on) == (0, 1, 0)
    found = cats.findings
    assert (found.audit_id, found.norm, dogs.findings.norm) == (report["audit"], "linf", "")
    states = {flag.kind: flag.state for flag in found.flags}
    assert states["error_rate"] == "flagged"
    assert [flag for each in bank.classes for flag in each.findings.flags] == [
        json_format.ParseDict(entry, v1.BiasFlag()) for entry in report["flags"]
    ]
    assert [(one.id, one.distance) for one in found.prototypes] == [
        (entry["file"], entry["distance"]) for entry in report["classes"][0]["prototypes"]
    ]
    assert [one.id for one in found.criticisms][:1] == [min(right, key=lambda row: row["linf.distance"])["file"]]


def test_the_files_are_those_of_the_folder(folder: Path) -> None:
    files = read_files(folder, read_bank(folder).audit)
    assert files == {name: (folder / f"audit.{name}").read_bytes() for name in ("json", "html")}


def test_thumbnails_are_counted(copy: Path) -> None:
    """Callers of the server see them."""
    page = copy / "audit.html"
    page.write_text(page.read_text().replace("</body>", 2 * '<img src="data:image/jpeg;base64,AAAA">' + "</body>"))
    assert [file.thumbnails for file in read_bank(copy).audit.files] == [0, 2]


def test_files_that_change_while_they_are_read_are_refused(copy: Path) -> None:
    audit = read_bank(copy).audit
    (copy / "audit.html").write_text("another")
    with pytest.raises(DataSetError, match=r"audit\.html has changed while it was read"):
        read_files(copy, audit)
    (copy / "audit.html").unlink()
    with pytest.raises(DataSetError, match=r"audit\.html cannot be read"):
        read_files(copy, audit)


def test_a_picture_that_was_not_flipped_has_an_infinite_distance(copy: Path) -> None:
    report = json.loads((copy / "audit.json").read_text())
    report["classes"][0]["prototypes"][0]["distance"] = None
    (copy / "audit.json").write_text(json.dumps(report))
    [prototype, *_] = read_bank(copy).classes[0].findings.prototypes
    assert prototype.id
    assert not prototype.HasField("distance")


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        report = json.loads((folder / "audit.json").read_text())
        change(report)
        (folder / "audit.json").write_text(json.dumps(report))

    return spoil


def _another_table(folder: Path) -> None:
    parquet.write_table(pa.table({"file": ["a.jpg"]}), folder / "audit.parquet")


def _without(*columns: str) -> Callable[[Path], object]:
    """As an earlier version wrote both files."""

    def spoil(folder: Path) -> None:
        path = folder / "audit.parquet"
        parquet.write_table(parquet.read_table(path).drop(list(columns)), path)
        digest = digest_of(path)
        _changed(lambda report: report["files"]["audit.parquet"].update(sha256=digest))(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, r"copy holds no audit \(.*No such file or directory"),
        (lambda folder: (folder / "audit.json").write_text("{"), r"copy holds no audit \(Expecting "),
        (lambda folder: (folder / "audit.json").write_text("[]"), r"audit\.json is damaged, or of another version"),
        (lambda folder: (folder / "audit.parquet").unlink(), r"can be read \(FileNotFoundError: .*audit\.parquet"),
        (_another_table, r"audit\.parquet is not the table that .*audit\.json was made from"),
        (lambda folder: (folder / "audit.html").unlink(), r"can be read \(FileNotFoundError: .*audit\.html"),
        (
            lambda folder: (folder / "audit.html").write_text("Audit 0123456789abcdef"),
            r"audit\.html is not of audit \w+; run the audit again",
        ),
        (_changed(lambda report: report.pop("classes")), r"audit\.json is damaged, or of another version"),
        (_changed(lambda report: report["classes"][0].pop("prototypes")), r"can be read \(KeyError: 'prototypes'\)"),
        (_changed(lambda report: report["flags"][0].update(class_index=-1)), "has flags of classes without pictures"),
        (_without("embedding"), r"audit\.parquet lacks embedding: another version of Whybox wrote it; run the audit"),
        (_without("predicted_name", "sha256"), r"audit\.parquet lacks sha256, predicted_name: another version"),
        (_changed(lambda report: report["classes"].pop()), "have different classes"),
        (_changed(lambda report: report["flags"][0].update(colour=1)), r'can be read \(ParseError: .*"colour"'),
        (
            _changed(lambda report: report["settings"].pop("digests")),
            "audited a table of predictions; pack an audit of",
        ),
    ],
)
def test_a_folder_without_an_audit_is_refused(copy: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(copy)
    with pytest.raises(DataSetError, match=words):
        read_bank(copy)


def test_a_bank_is_given_or_left_out(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pack", "any.yaml", "--bank", str(tmp_path), "--no-bank"])
    assert done.exit_code == 1
    assert "--bank and --no-bank exclude each other" in done.stderr


def test_the_command_says_that_a_bank_cannot_be_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pack", "any.yaml", "--bank", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "none holds no audit (" in " ".join(done.stderr.split())
