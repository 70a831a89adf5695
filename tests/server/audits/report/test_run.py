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
from whybox_server.cli.app import app

pytestmark = pytest.mark.usefixtures("_here")

NUMBER = 160


class Audit:
    """The command on pictures of cats and dogs; cats in snow are near to another answer, and every tenth is wrong."""

    def __init__(self, folder: Path, store: Path, day: str = "") -> None:
        """Pictures of another day have other bytes."""
        self.data, self._store, self.save = folder / "data", store, folder / "save"
        self.table = folder / "table.csv"
        self.data.mkdir(parents=True)
        lines = ["file,label,snow,moon,sea,camera,note,part"]
        for number in range(NUMBER):
            label, snow, moon = number % 2, number // 2 % 2, number // 4 % 2
            sea = ("1", "0", "", "unknown")[number // 8 % 4]
            text = "wrong" if number % 10 in (4, 5) else "near" if snow and not label else "far"
            (self.data / f"{number:03}.jpg").write_text(f"{text}\n{number}{day}")
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


def test_the_same_cells_under_another_name_are_another_audit(audit: Audit) -> None:
    audit.run()
    first = audit.manifest()["audit"]
    audit.table.write_text(audit.table.read_text().replace(",snow,", ",ice,", 1))
    audit.run()
    assert audit.manifest()["audit"] != first


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
        (["--attribute", "file"], "--attribute 'file' divides no pictures: it names the picture; leave it out"),
        (["--confounder", "label"], "--confounder 'label' divides no pictures: it names the right class; leave it out"),
        (["--cross", "snow"], "--cross 'snow' is no crossing; write two attributes with a comma between them"),
        (["--cross", "snow,snow"], "--cross 'snow,snow' is no crossing"),
        (["--cross", "snow,moon", "--cross", "moon,snow"], "--cross names two attributes twice"),
        (["--cross", "snow,mon"], "--cross snow,mon: 'mon' cannot be crossed: did you mean 'moon'?"),
        (["--cross", "snow,tide"], "'tide' cannot be crossed: it is no column; the attributes are snow, moon, sea"),
        (["--cross", "camera,snow"], "'camera' cannot be crossed: constant: one group"),
        (["--cross", "snow,brightness"], "'brightness' cannot be crossed: add --attribute brightness"),
        (["--cross", "snow,moon", "--confounder", "moon"], "'moon' cannot be crossed: tests adjust for it"),
        (["--min-group", 9], "--min-group must be at least 10"),
        (["--delta", "nan"], "--delta must be at least 0 and below 1, but is nan"),
        (["--gap", 1], "--gap must be at least 0 and below 1, but is 1.0"),
        (["--primary-norm", "l2", "--norm", "linf"], "--primary-norm l2 is not measured; add it with --norm"),
        (["--primary-norm", "l2"], "--primary-norm l2 is not measured; add it with --norm"),
        (["--discovery", "one"], "--discovery 'one' names a part of a column split; the table has none"),
        (["--attack", "i_fgsm", "--agreement"], "--agreement compares the attack with i_fgsm, but it is i_fgsm"),
        (["--predictions", "t.csv"], "give either the folder with the pictures or --predictions"),
        (["--confirm", "nowhere"], "nowhere holds no audit"),
        (["--save", __file__], f"{__file__} cannot be a folder for the results (File exists); give another --save"),
    ],
)
def test_what_is_refused(audit: Audit, options: Sequence[object], words: str) -> None:
    done = audit.run(*options)
    assert done.exit_code == 1, done.output
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    # Nothing was measured for it.
    assert not audit.save.exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("file,", "path,", 1), "has no column 'file'; it has path, label"),
        (
            lambda text: text.replace("000.jpg", "900.jpg", 1),
            "900.jpg does not exist; remove the row",
        ),
        (lambda text: text.replace("000.jpg", "", 1), "line 2: column 'file' is empty; it names the picture"),
        (lambda text: text.replace("000.jpg", "../table.csv", 1), "'../table.csv' is no path below the folder"),
        (lambda text: text.replace("000.jpg", __file__, 1), "is no path below the folder of the pictures"),
        (lambda text: text.replace("000.jpg", "9" * 300, 1), "line 2: "),
        (lambda text: text.splitlines()[0], "table.csv names no picture with a class; add a row for each picture"),
        (
            lambda text: text.replace(",part", ",split", 1).replace(",other", ",one"),
            "names 1: one; keep the rows of two",
        ),
        (lambda text: text.replace(",note", ",split", 1), "column split must name two parts, but names 160: n0, n1"),
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
    assert not audit.save.exists()


def split(text: str) -> str:
    """The table with its parts in a column split."""
    return text.replace(",part\n", ",split\n", 1)


def test_a_part_that_is_not_there(audit: Audit) -> None:
    audit.table.write_text(split(audit.table.read_text()))
    for options, words in {
        ("--discovery", "third"): "--discovery 'third' is no part of column split; it names one and other",
        ("--confirm", "another"): "a column split and --confirm would both confirm; leave --confirm out",
    }.items():
        done = audit.run(*options)
        assert done.exit_code == 1, done.output
        assert words in done.stderr
        assert not audit.save.exists()


def test_brackets_in_a_table_are_shown_as_they_are(audit: Audit) -> None:
    lines = audit.table.read_text().splitlines()
    styled = [
        line.replace(",c1,", (",[bold]in[/bold],", ",[/]out,")[number % 3 > 0]) for number, line in enumerate(lines)
    ]
    audit.table.write_text("\n".join(styled))
    done = audit.run()
    assert done.exit_code == 0, done.output
    assert "[bold]in[/bold]" in done.stdout
    assert "[/]out" in done.stdout


def test_a_covariate_as_a_confounder_has_a_reason(audit: Audit) -> None:
    assert audit.run("--confounder", "brightness").exit_code == 0
    [told] = [column for column in audit.manifest()["columns"] if column["name"] == "brightness"]
    assert (told["role"], told["tested"], told["reason"]) == ("confounder", False, "tests adjust for it")


class TestConfirmation:
    """An audit that confirms what another finds."""

    @pytest.fixture
    def other(self, store: Path, tmp_path: Path) -> Audit:
        return Audit(tmp_path / "other", store, " on Monday")

    def test_other_pictures_confirm(self, audit: Audit, other: Audit) -> None:
        assert other.run().exit_code == 0
        done = audit.run("--confirm", other.save)
        assert done.exit_code == 0, done.output
        [flag] = [flag for flag in audit.manifest()["flags"] if flag["state"] == "flagged"]
        assert flag["confirmation_p_value"] < 0.05

    def test_the_same_pictures_confirm_nothing(self, audit: Audit, other: Audit) -> None:
        # One picture of 160, under another name.
        (other.data / "001.jpg").write_text((audit.data / "003.jpg").read_text())
        assert other.run().exit_code == 0
        done = audit.run("--confirm", other.save)
        assert done.exit_code == 1, done.output
        assert f"--confirm {other.save}: 1 of its pictures are audited here too" in done.stderr

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda manifest: manifest["settings"]["digests"].update(weights_sha256="x"), "a model with other weights"),
            (lambda manifest: manifest["settings"].pop("digests"), "it audited a table of predictions, and this audit"),
            (lambda manifest: manifest["classes"][0].update(class_label="cow"), "its class 0 is 'cow', and here it is"),
            (lambda manifest: manifest.pop("classes"), "audit.json is damaged, or of another version of Whybox"),
        ],
    )
    def test_of_other_questions(self, audit: Audit, other: Audit, spoil: Any, words: str) -> None:
        assert other.run().exit_code == 0
        manifest = json.loads((other.save / "audit.json").read_text())
        spoil(manifest)
        (other.save / "audit.json").write_text(json.dumps(manifest))
        done = audit.run("--confirm", other.save)
        assert done.exit_code == 1, done.output
        assert words in done.stderr
        assert not audit.save.exists()

    def test_without_an_attribute(self, audit: Audit, other: Audit) -> None:
        other.table.write_text(other.table.read_text().replace(",moon,", ",star,", 1))
        assert other.run().exit_code == 0
        done = audit.run("--confirm", other.save)
        assert done.exit_code == 1, done.output
        assert "audit.parquet has no column 'moon'; its table had file, label, snow, star" in done.stderr
        assert not audit.save.exists()
