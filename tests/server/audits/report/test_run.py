"""`whybox-server audit` with a quick stand-in for measuring: what it finds, killed and resumed, and what it refuses."""

import json
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from server.audits.stopping import kept, stopped
from whybox_server.audits.passes.journal import Record
from whybox_server.cli import app

pytestmark = pytest.mark.usefixtures("_here")

NUMBER = 160


class Audit:
    """The command on pictures of cats and dogs; cats in snow are near to another answer, and every tenth is wrong."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.data, self._store, self.save = folder / "data", store, folder / "save"
        self.table = folder / "table.csv"
        self.data.mkdir(parents=True)
        lines = ["file,label,snow,moon,sea,camera,note,part"]
        for number in range(NUMBER):
            label, snow, moon = number % 2, number // 2 % 2, number // 4 % 2
            sea = ("1", "0", "", "unknown")[number // 8 % 4]
            text = "wrong" if number % 10 in (4, 5) else "near" if snow and not label else "far"
            (self.data / f"{number:03}.jpg").write_text(f"{text}\n{number}")
            part = "one" if number < NUMBER // 2 else "other"
            lines.append(f"{number:03}.jpg,{('cat', 'dog')[label]},{snow},{moon},{sea},c1,n{number},{part}")
        self.table.write_text("\n".join(lines))

    def arguments(self, *more: object, workers: int = 1) -> list[str]:
        given = [self.data, "--labels", self.table, "--model-store", self._store, "--save", self.save]
        return ["audit", *map(str, [*given, "--workers", workers, *more])]

    def run(self, *more: object) -> Result:
        """In this process; see `_here`."""
        return CliRunner().invoke(app, self.arguments(*more), env={"COLUMNS": "200"})

    def manifest(self) -> dict[str, Any]:
        """The manifest without the folder of the pictures."""
        manifest: dict[str, Any] = json.loads((self.save / "audit.json").read_text())
        assert manifest["data"].pop("folder") == str(self.data)
        return manifest

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = parquet.read_table(self.save / "audit.parquet").to_pylist()
        return rows


@pytest.fixture
def audit(store: Path, tmp_path: Path) -> Audit:
    return Audit(tmp_path, store)


def states(manifest: dict[str, Any]) -> dict[tuple[str, str, str], str]:
    return {(flag["kind"], flag["class_label"], flag["attribute"]): flag["state"] for flag in manifest["flags"]}


def test_what_an_audit_finds_and_writes(audit: Audit) -> None:
    done = audit.run("--fail-on", "flagged")
    assert done.exit_code == 3, done.output
    manifest, rows = audit.manifest(), audit.rows()

    found = states(manifest)
    assert {key for key, state in found.items() if state == "flagged"} == {("adversarial_criticism", "cat", "snow")}
    assert found[("adversarial_criticism", "dog", "snow")] == "not_detected"
    assert {attribute for _, _, attribute in found} == {"snow", "moon", "sea", "part"}
    assert {flag["audit_id"] for flag in manifest["flags"]} == {manifest["audit"]}
    # The sentence on the terminal.
    assert "Pictures of cat annotated snow = 1 are easier to attack than others" in " ".join(done.stdout.split())
    assert "column camera is not tested: constant: one group" in done.stdout
    assert "column note is not tested: unique: each picture has another value" in done.stdout

    told = {column["name"]: (column["role"], column["tested"]) for column in manifest["columns"]}
    assert told["snow"] == ("attribute", True)
    assert told["camera"] == told["note"] == ("other", False)
    assert told["file"] == ("file", False)

    assert sorted(row["file"] for row in rows) == [f"{number:03}.jpg" for number in range(NUMBER)]
    # A class is read without the others.
    assert rows == sorted(rows, key=lambda row: (row["label"], row["file"]))
    assert {row["table.snow"] for row in rows} == {"0", "1"}
    assert manifest["data"]["counted"] == NUMBER


def test_every_number_comes_from_the_rows(audit: Audit) -> None:
    audit.run()
    manifest, rows = audit.manifest(), audit.rows()
    for group in manifest["groups"]:
        members = [
            row for row in rows if not group["attribute"] or row[f"table.{group['attribute']}"] == group["value"]
        ]
        right = sum(row["label"] == row["predicted"] for row in members)
        assert (group["n"], group["right"]) == (len(members), right)
        assert group["accuracy"] == right / len(members)
        assert group["confidence"] == pytest.approx(np.mean([row["confidence"] for row in members]))
    for flag in manifest["flags"]:
        if flag["kind"] == "adversarial_criticism" and flag["effect"] is not None:
            members = [row for row in rows if row["label"] == flag["class_index"] and row["right"]]
            having, without = (
                [row["linf.distance"] for row in members if (row[f"table.{flag['attribute']}"] == flag["value"]) == has]
                for has in (True, False)
            )
            if flag["attribute"] == "sea":
                known = [row for row in members if row["table.sea"] in ("0", "1")]
                without = [row["linf.distance"] for row in known if row["table.sea"] != flag["value"]]
            assert (flag["n_with"], flag["n_without"]) == (len(having), len(without))
            delta = np.sign(np.subtract.outer(having, without)).mean()
            assert flag["effect"] == pytest.approx(delta)
    for criticised in manifest["classes"]:
        distances = {row["file"]: row["linf.distance"] for row in rows if row["label"] == criticised["class_index"]}
        order = sorted((distance, file) for file, distance in distances.items() if distance is not None)
        assert criticised["right"] == len(order)
        fifth = len(order) // 5
        assert [each["file"] for each in criticised["criticisms"]] == [file for _, file in order[:fifth]]
        assert [each["file"] for each in criticised["prototypes"]] == [file for _, file in order[::-1][:fifth]]


def test_killed_and_resumed_it_finds_the_same_byte_for_byte(audit: Audit, store: Path, tmp_path: Path) -> None:
    arguments = audit.arguments(workers=2)
    stopped(arguments, signal.SIGKILL, lambda: kept(audit.save) >= 3)
    begun = kept(audit.save)
    assert 3 <= begun < NUMBER
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert f"{begun} of {NUMBER} pictures were measured by an earlier run" in done.stderr
    undisturbed = Audit(tmp_path / "undisturbed", store)
    assert undisturbed.run().exit_code == 0
    assert audit.manifest() == undisturbed.manifest()
    assert (audit.save / "audit.parquet").read_bytes() == (undisturbed.save / "audit.parquet").read_bytes()


def nothing() -> Generator[list[Record]]:
    """What is measured where nothing is left to measure."""
    yield from ()


def test_other_questions_measure_nothing_again(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.run()
    first = audit.manifest()
    monkeypatch.setattr("whybox_server.audits.passes.pool._measured", lambda *_: nothing())
    done = audit.run("--attribute", "moon", "--attribute", "brightness", "--confounder", "sea", "--cross", "moon,snow")
    assert done.exit_code == 0, done.output
    assert f"{NUMBER} of {NUMBER} pictures were measured by an earlier run" in done.stderr
    again = audit.manifest()
    assert again["audit"] != first["audit"]
    assert {attribute for _, _, attribute in states(again)} == {"moon", "brightness"}
    told = {column["name"]: column for column in again["columns"]}
    # Naming attributes takes none from the family of tests.
    assert all(told[name]["tested"] for name in ("snow", "moon", "brightness", "moon,snow"))
    assert (told["sea"]["role"], told["sea"]["tested"]) == ("confounder", False)
    assert again["statistics"]["family"] > first["statistics"]["family"] / 2


def test_what_is_named_and_cannot_be_tested_is_a_column_with_a_reason(audit: Audit) -> None:
    # The only pictures without "far" in their class cannot be decoded.
    (audit.data / "000.jpg").write_text("unreadable")
    header, first, *lines = audit.table.read_text().splitlines()
    audit.table.write_text("\n".join([f"{header},range", f"{first},near", *(f"{line},far" for line in lines)]))
    named = ["--attribute", "snow", "--attribute", "camera", "--attribute", "range"]
    done = audit.run(*named)
    assert done.exit_code == 0, done.output
    assert {attribute for _, _, attribute in states(audit.manifest())} == {"snow"}
    assert "column camera is not tested: constant: one group" in done.stdout
    assert "column range is not tested: has the same value for all pictures of each class" in done.stdout
    alone = audit.run("--attribute", "range")
    assert alone.exit_code == 1
    assert "no --attribute can be tested (range: the pictures that count have one known value" in alone.stderr


def test_conditions_and_parts(audit: Audit) -> None:
    audit.table.write_text(audit.table.read_text().replace(",part\n", ",split\n", 1))
    done = audit.run("--where", "sea!=unknown", "--discovery", "other")
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    assert manifest["statistics"]["parts"] == {"discovery": "other", "confirmation": "one"}
    left_out = sum(number // 8 % 4 == 3 for number in range(NUMBER))
    assert (manifest["data"]["left_out"], manifest["data"]["pictures"]) == (left_out, NUMBER - left_out)
    assert f"pictures that do not meet --where: {left_out}\n" in done.stdout


def test_one_class_is_enough(audit: Audit) -> None:
    lines = audit.table.read_text().splitlines()
    audit.table.write_text("\n".join([lines[0], *(line for line in lines if ",cat," in line)]))
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert [each["class_label"] for each in audit.manifest()["classes"]] == ["cat"]


def test_without_a_table_there_are_prototypes_and_criticisms_alone(audit: Audit, store: Path) -> None:
    (audit.data / "dog").mkdir()
    for number in range(10):
        (audit.data / f"{number:03}.jpg").rename(audit.data / "dog" / f"{number}.jpg")
    given = ["audit", str(audit.data), "--model-store", str(store), "--save", str(audit.save)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    assert (manifest["flags"], manifest["columns"]) == ([], [])
    assert manifest["classes"][0]["criticisms"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attribute", "camera"], "no --attribute can be tested (camera: constant: one group"),
        (["--attribute", "note"], "no --attribute can be tested (note: unique: each picture has another value)"),
        (["--attribute", "tide"], "--attribute 'tide' is no column: the table has file, label, snow"),
        (["--where", "snow=2"], "--where snow=2: no picture has '2' in column 'snow'; it holds"),
        (["--cross", "snow"], "--cross 'snow' is no crossing; write two attributes with a comma between them"),
        (["--min-group", 9], "min_group must be at least 10"),
        (["--primary-norm", "l2", "--norm", "linf"], "--primary-norm l2 is not measured; add it with --norm"),
        (["--predictions", "t.csv"], "give either the folder with the pictures or --predictions"),
        (["--confirm", "nowhere"], "nowhere"),
    ],
)
def test_what_is_refused(audit: Audit, options: Sequence[object], words: str) -> None:
    done = audit.run(*options)
    assert done.exit_code == 1, done.output
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert not (audit.save / "audit.json").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("file,", "path,", 1), "has no column 'file'; it has path, label"),
        (
            lambda text: text.replace("000.jpg", "900.jpg", 1),
            "900.jpg does not exist; remove the row",
        ),
        (
            lambda text: text.replace("000.jpg,cat", "000.jpg,cow", 1),
            "line 2: 'cow' is neither the index nor",
        ),
    ],
)
def test_tables_that_are_wrong(audit: Audit, spoil: Any, words: str) -> None:
    audit.table.write_text(spoil(audit.table.read_text()))
    done = audit.run()
    assert done.exit_code == 1, done.output
    assert words in done.stderr
