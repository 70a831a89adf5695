"""Which flags are checked, with a quick stand-in for measuring: boxes that cannot be used, and runs that are killed."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.audits import quick_audits
from server.audits.stopping import kept, stopped
from whybox_server.audits.passes.journal import INTRINSIC
from whybox_server.cli.app import app

NUMBER = 160
# What the stand-in says of a picture whose text has four letters: 4 pixels wide and 5 high.
WIDTH, HEIGHT = 4, 5
assert INTRINSIC[:2] == ("width", "height")
FLAGGED = ("adversarial_criticism", "cat", "snow")


class Audit:
    """Cats in snow are near to another answer; each of them has a box, in the cells that a test gives."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.data, self._store, self.save = folder / "data", store, folder / "save"
        self._table = folder / "table.csv"
        self.data.mkdir(parents=True)
        for number in range(NUMBER):
            self._file(number).write_text(f"{'near' if self.snow(number) and not number % 2 else 'afar'}\n{number}")

    @staticmethod
    def snow(number: int) -> int:
        return number // 2 % 2

    def _file(self, number: int) -> Path:
        return self.data / f"{number:03}.jpg"

    def arguments(self, cell: Callable[[int], str], *options: str, column: str = "snow_box") -> list[str]:
        lines = [f"file,label,snow,moon,{column}"]
        for number in range(NUMBER):
            snow = self.snow(number)
            box = cell(number // 4) if snow and not number % 2 else ""
            lines.append(f"{number:03}.jpg,{('cat', 'dog')[number % 2]},{snow},{number // 4 % 2},{box}")
        self._table.write_text("\n".join(lines))
        given = [self.data, "--labels", self._table, "--model-store", self._store, "--save", self.save]
        return ["audit", *map(str, given), "--workers", "2", "--view", *options]

    def run(self, cell: Callable[[int], str], *options: str, column: str = "snow_box") -> str:
        done = CliRunner().invoke(app, self.arguments(cell, *options, column=column), env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.output

    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.save / "audit.json").read_text())
        assert manifest["data"].pop("folder") == str(self.data)
        return manifest

    def checks(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        flags = self.manifest()["flags"]
        return {(flag["kind"], flag["class_label"], flag["attribute"]): flag["counterfactual"] for flag in flags}


@pytest.fixture
def audit(store: Path, tmp_path: Path) -> Audit:
    return Audit(tmp_path, store)


def corner(_: int) -> str:
    return "0 0 2 2"


@pytest.mark.usefixtures("_here")
def test_only_flagged_findings_are_checked(audit: Audit) -> None:
    said = audit.run(corner)
    checks = audit.checks()
    check = checks.pop(FLAGGED)
    assert check["state"] == "checked"
    assert (check["pictures"], check["regions"], check["removal"]) == (40, 5, "blur")
    assert [(shift["what"], shift["n"]) for shift in check["shifts"]] == [
        ("answer", 40),
        ("margin", 40),
        ("margin_size", 40),
        ("distance", 40),
    ]
    # The stand-in's answers and distances do not depend on the region.
    by = {shift["what"]: shift for shift in check["shifts"]}
    for what in ("answer", "distance"):
        assert (by[what]["box"], by[what]["random"], by[what]["ci_low"], by[what]["ci_high"]) == (0, 0, 0, 0)
    reasons = {key: (check["state"], check["reason"]) for key, check in checks.items()}
    assert {value for (_, _, name), value in reasons.items() if name == "snow"} == {
        ("not_checked", "only flagged findings are checked")
    }
    assert {value for (_, _, name), value in reasons.items() if name == "moon"} == {
        ("not_checked", "the table has no column moon_box")
    }
    assert "counterfactual check:" in said
    assert audit.manifest()["statistics"]["counterfactual"] == {
        "removal": "blur",
        "norm": "linf",
        "seed": 0,
        "pictures": 50,
        "regions": 5,
        "smallest_number": 10,
    }


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("cell", "counts"),
    [
        # Outside of the picture, as large as it, and both beside others that can be used.
        (lambda _: "9 9 12 12", (0, 40, 0, 0)),
        (lambda _: "0 0 4 5", (0, 0, 40, 0)),
        (lambda number: ("0 0 2 2", "9 9 12 12", "0 0 4 5")[number % 3], (14, 13, 13, 0)),
        # Several boxes, one of them outside; one that leaves room only for an overlap; none at all in half of them.
        (lambda _: "0 0 1 1; 3 4 4 5; 9 9 12 12", (40, 0, 0, 0)),
        (lambda _: "0 0 4 3", (40, 0, 0, 40)),
        (lambda number: "3.5 4.5 99 99" if number % 2 else "", (20, 0, 0, 0)),
    ],
)
def test_boxes_that_can_and_cannot_be_used(
    audit: Audit, cell: Callable[[int], str], counts: tuple[int, int, int, int]
) -> None:
    audit.run(cell)
    check = audit.checks()[FLAGGED]
    assert (check["pictures"], check["outside"], check["without_room"], check["overlapping"]) == counts
    assert check["state"] == ("checked" if counts[0] else "not_checked")
    reason = "of 40 pictures with the value, 0 have a box in the model's view and room for a random region"
    assert check["reason"].startswith(reason) != bool(counts[0])


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("box", "the table has no column snow_box, and box may belong to any of 2 attributes"),
        ("moon_box", "the table has no column snow_box"),
    ],
)
def test_boxes_of_other_attributes(audit: Audit, column: str, words: str) -> None:
    audit.run(corner, column=column)
    assert audit.checks()[FLAGGED]["reason"] == words
    assert not (audit.save / "counterfactual").exists()


@pytest.mark.usefixtures("_here")
def test_box_is_that_of_the_only_attribute(audit: Audit) -> None:
    audit.run(corner, "--where", "moon=1", column="box")
    check = audit.checks()[FLAGGED]
    assert (check["state"], check["pictures"]) == ("checked", 20)


@pytest.mark.usefixtures("_here")
def test_crossings_have_no_boxes(audit: Audit) -> None:
    audit.run(corner, "--cross", "snow,moon", column="box")
    reasons = {check["reason"] for (_, _, name), check in audit.checks().items() if name == "snow,moon"}
    assert reasons == {"snow,moon is no column of the table, so that no box can show it"}


def test_killed_in_the_check_and_resumed_it_finds_the_same(audit: Audit, store: Path, tmp_path: Path) -> None:
    folder = audit.save / "counterfactual"
    stopped(audit.arguments(corner), signal.SIGKILL, lambda: kept(folder) >= 3)
    begun = kept(folder)
    assert begun >= 3
    # In a process of its own, whose stand-in is the same.
    undisturbed = Audit(tmp_path / "undisturbed", store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whybox_server.audits.passes.pool._measured", quick_audits.measured_here)
        said = audit.run(corner)
        undisturbed.run(corner)
    assert f"{begun} of {kept(folder)} pictures were measured by an earlier run" in said
    assert audit.manifest() == undisturbed.manifest()
