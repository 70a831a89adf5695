"""What is measured once the findings are known: repeats at `standard`, and a sample by the attack of the paper."""

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from scipy import stats
from typer.testing import CliRunner

from server.audits.report.test_run import NUMBER, Audit, nothing
from server.audits.stopping import kept, stopped
from whybox_server.cli.app import app

pytestmark = pytest.mark.usefixtures("_here")

REPEAT, AGREEMENT = "rounds/fmn-linf-12", "rounds/i_fgsm-linf-12"


@pytest.fixture
def audit(store: Path, tmp_path: Path) -> Audit:
    return Audit(tmp_path, store)


def distances(save: Path, folder: str = ".") -> dict[str, dict[str, Any]]:
    """The rows of a table by their file."""
    return {row["file"]: row for row in parquet.read_table(save / folder / "audit.parquet").to_pylist()}


def flagged(manifest: dict[str, Any]) -> dict[str, Any]:
    """The only flagged distance effect."""
    distances = [flag for flag in manifest["flags"] if flag["kind"] == "adversarial_criticism"]
    flag: dict[str, Any]
    [flag] = (flag for flag in distances if flag["state"] == "flagged")
    assert (flag["class_label"], flag["attribute"], flag["value"]) == ("cat", "snow", "1")
    return flag


def test_what_fast_flags_is_measured_again_at_standard(audit: Audit) -> None:
    done = audit.run("--budget", "fast")
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    first, again = distances(audit.save), distances(audit.save, REPEAT)
    cats = {file for file, row in first.items() if row["right"] and row["label_name"] == "cat"}
    assert set(again) == cats
    assert all(again[file]["linf.distance"] == pytest.approx(0.9 * first[file]["linf.distance"]) for file in cats)
    assert manifest["repeat"] == {
        "attack": "fmn",
        "norm": "linf",
        "budget": 12,
        "classes": [0],
        "pictures": len(cats),
        "failed": [],
    }
    table = (audit.save / REPEAT / "audit.parquet").read_bytes()
    assert manifest["files"][f"{REPEAT}/audit.parquet"] == {"sha256": hashlib.sha256(table).hexdigest()}
    flag = flagged(manifest)
    [repeat] = flag["repeats"]
    having, without = (
        [again[file]["linf.distance"] for file in cats if (first[file]["table.snow"] == "1") == has]
        for has in (True, False)
    )
    assert repeat["effect"] == pytest.approx(np.sign(np.subtract.outer(having, without)).mean())
    assert (repeat["what"], repeat["n_with"], repeat["n_without"]) == ("at budget standard", len(having), len(without))
    assert "does not decide" not in flag["message"]
    words = f"at budget standard (12 evaluations, {len(cats)} pictures): 1 of 1 flagged distance effects"
    assert words in done.stdout
    assert '<data value="12" data-from="/repeat/budget">12</data>' in (audit.save / "audit.html").read_text()


def test_disagreement_stands_in_the_sentence(audit: Audit) -> None:
    for path in audit.data.iterdir():
        path.write_text(path.read_text().replace("near", "faint"))
    done = audit.run("--budget", 6)
    assert done.exit_code == 0, done.output
    flag = flagged(audit.manifest())
    assert flag["state"] == "flagged"
    assert "At budget standard, which does not decide: the interval" in flag["message"]
    assert "0 of 1 flagged distance effects" in done.stdout
    assert "At budget standard, which does not decide" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("options", "repeats"),
    [
        (["--budget", "fast"], 12),
        (["--budget", "fast", "--no-repeat"], None),
        (["--budget", 11], 12),
        (["--budget", "standard"], None),
        (["--budget", "thorough"], None),
    ],
)
def test_when_it_repeats(audit: Audit, options: list[object], repeats: int | None) -> None:
    done = audit.run(*options)
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    assert manifest["settings"]["repeat"] == repeats
    assert len(flagged(manifest)["repeats"]) == bool(repeats)
    assert (manifest["repeat"] is not None) == (audit.save / REPEAT).exists() == bool(repeats)


def test_nothing_flagged_nothing_repeated(audit: Audit) -> None:
    audit.run("--budget", "fast", "--attribute", "moon")
    assert audit.manifest()["repeat"] is None
    assert not (audit.save / "rounds").exists()


def test_a_second_run_measures_nothing_again(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.run("--budget", "fast")
    first = audit.manifest()
    monkeypatch.setattr("whybox_server.audits.passes.pool._measured", lambda *_: nothing())
    done = audit.run("--budget", "fast")
    number = first["repeat"]["pictures"]
    assert f"at budget standard: {number} of {number} pictures were measured by an earlier run" in done.stderr
    assert audit.manifest() == first


def test_killed_in_a_round_and_resumed_it_finds_the_same_byte_for_byte(
    audit: Audit, store: Path, tmp_path: Path
) -> None:
    undisturbed = Audit(tmp_path / "undisturbed", store)
    assert undisturbed.run("--budget", "fast").exit_code == 0
    assert audit.run("--budget", "fast", "--no-repeat").exit_code == 0
    arguments = audit.arguments("--budget", "fast", workers=2)
    stopped(arguments, signal.SIGKILL, lambda: kept(audit.save / REPEAT) >= 3)
    begun = kept(audit.save / REPEAT)
    assert 3 <= begun < undisturbed.manifest()["repeat"]["pictures"]
    done = audit.run("--budget", "fast")
    assert f"at budget standard: {begun} of" in done.stderr
    assert audit.manifest() == undisturbed.manifest()
    for table in ("audit.parquet", f"{REPEAT}/audit.parquet"):
        assert (audit.save / table).read_bytes() == (undisturbed.save / table).read_bytes()


def test_fresh_begins_the_rounds_anew(audit: Audit) -> None:
    audit.run("--budget", "fast")
    for path in audit.data.iterdir():
        path.write_text(path.read_text())
    # A round that this run has no use for is forgotten too: its settings may be others by then.
    done = audit.run("--budget", "fast", "--fresh", "--no-repeat")
    assert done.exit_code == 0, done.output
    assert kept(audit.save / REPEAT) == 0
    done = audit.run("--budget", "fast", "--seed", 1, "--fresh")
    assert done.exit_code == 0, done.output
    assert "earlier run" not in done.stderr
    assert audit.manifest()["repeat"]["pictures"] == kept(audit.save / REPEAT) > 0


def test_pictures_on_which_the_attack_fails_again_are_listed(audit: Audit) -> None:
    (audit.data / "000.jpg").write_text("brittle\n0")
    done = audit.run("--budget", "fast")
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    assert manifest["repeat"]["failed"] == [{"file": "000.jpg", "error": "ValueError: bad"}]
    flag = flagged(manifest)
    assert flag["repeats"][0]["n_without"] == flag["n_without"] - 1


def test_the_part_that_confirms_is_measured_again(audit: Audit) -> None:
    audit.table.write_text(audit.table.read_text().replace(",part\n", ",split\n", 1))
    done = audit.run("--budget", "fast", "--discovery", "one", "--min-group", 10)
    assert done.exit_code == 0, done.output
    flag = flagged(audit.manifest())
    [repeat] = flag["repeats"]
    assert (repeat["n_with"], repeat["n_without"]) == (flag["n_with"], flag["n_without"])
    assert {row["file"] < f"{NUMBER // 2:03}" for row in distances(audit.save, REPEAT).values()} == {False}


def test_pictures_of_another_audit_are_not_measured_again(audit: Audit, store: Path, tmp_path: Path) -> None:
    other = Audit(tmp_path / "other", store, " on Monday")
    assert other.run("--budget", "fast").exit_code == 0
    done = audit.run("--budget", "fast", "--confirm", other.save)
    assert done.exit_code == 0, done.output
    assert flagged(audit.manifest())["repeats"][0]["what"] == "at budget standard in the pictures that found it"


def test_a_sample_of_each_class_by_the_attack_of_the_paper(audit: Audit) -> None:
    done = audit.run("--agreement")
    assert done.exit_code == 0, done.output
    manifest = audit.manifest()
    agreement = manifest["agreement"]
    assert (agreement["attack"], agreement["budget"], agreement["sample"]) == ("i_fgsm", 12, 50)
    first, again = distances(audit.save), distances(audit.save, AGREEMENT)
    assert set(again) < {file for file, row in first.items() if row["right"]}
    for each in agreement["classes"]:
        assert list(each) == ["class_index", "class_label", "n", "median_ratio", "rho", "rho_low", "rho_high", "tau"]
        files = [file for file, row in again.items() if row["label"] == each["class_index"]]
        assert each["n"] == len(files) == 50
        ours, theirs = ([rows[file]["linf.distance"] for file in files] for rows in (first, again))
        assert each["rho"] == pytest.approx(stats.spearmanr(ours, theirs).statistic)
        assert each["tau"] == pytest.approx(stats.kendalltau(ours, theirs).statistic)
        assert each["rho_low"] < each["rho"] < each["rho_high"]
        assert each["median_ratio"] == pytest.approx(np.median(np.divide(theirs, ours)))
    assert [each["class_label"] for each in agreement["classes"]] == ["cat", "dog"]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("agreement with i_fgsm")]
    assert "in the median of 2 classes" in line
    assert 'data-from="/agreement/classes/1/rho_high"' in (audit.save / "audit.html").read_text()
    audit.run("--agreement", "--save", audit.save)
    assert audit.manifest() == manifest
    audit.run("--agreement", "--seed", 1, "--fresh")
    assert set(distances(audit.save, AGREEMENT)) != set(again)


def test_one_class_is_told_with_its_interval_and_a_small_one_has_no_sample(audit: Audit) -> None:
    lines = audit.table.read_text().splitlines()
    dogs = [line for line in lines if ",dog," in line]
    audit.table.write_text("\n".join([lines[0], *(line for line in lines if ",cat," in line), *dogs[:5]]))
    done = audit.run("--agreement")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("agreement with i_fgsm")]
    [cat] = audit.manifest()["agreement"]["classes"]
    interval = f"[{cat['rho_low']:+.2f}, {cat['rho_high']:+.2f}]"
    assert line.endswith(f"Spearman's rho {cat['rho']:+.2f} {interval} of 50 pictures of cat")
    audit.table.write_text("\n".join([lines[0], *dogs[:5]]))
    done = audit.run("--agreement")
    assert "agreement with i_fgsm: no class has 10 correctly classified pictures" in done.stdout
    assert audit.manifest()["agreement"]["classes"] == []


def test_what_agrees_with_nothing(audit: Audit) -> None:
    done = audit.run("--agreement", "--attack", "i_fgsm")
    assert done.exit_code == 1
    assert "--agreement compares the attack with i_fgsm, but it is i_fgsm" in done.stderr


def test_predictions_have_no_rounds(audit: Audit, tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    table.write_text("file,label,predicted,snow\n" + "".join(f"{n}.jpg,0,0,{n % 2}\n" for n in range(40)))
    done = CliRunner().invoke(app, ["audit", "--predictions", str(table), "--save", str(audit.save)])
    assert done.exit_code == 0, done.output
    manifest = json.loads((audit.save / "audit.json").read_text())
    assert (manifest["repeat"], manifest["agreement"]) == (None, None)
