"""The numbers of hand-made records, as JSON and as a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from presence import present
from whybox_server.audits.dataset import DataSet, Labelled
from whybox_server.audits.journal import Outcome, Record
from whybox_server.audits.robust_accuracy.figure import draw
from whybox_server.audits.robust_accuracy.report import write_report
from whybox_server.audits.robust_accuracy.summary import summarise, summarise_classes

RADII = {"linf": np.array([0.0, 0.1, 0.15, 0.2, 0.5])}


def record(name: str, label: int, distance: float | None, searched: float = 0.3) -> Record:
    """Predicted wrong for distance 0, not flipped for None."""
    if distance == 0:
        return Record(name, "", label, label + 1)
    found = Outcome(
        "", distance, distance, searched, None, 0, 6, 9, "evaluations", ("why",) if distance is None else ()
    )
    return Record(name, "", label, label, {"linf": found})


RECORDS = [
    record("a", 0, 0.1),
    record("b", 0, 0.2),
    record("c", 0, 0),
    record("d", 1, None, searched=0.12),
    record("e", 1, 0.4),
    record("f", 2, 0),
]


def test_the_curve_of_hand_made_records() -> None:
    summary = summarise(RECORDS, ["linf"], 0, RADII)
    norm = summary.norms["linf"]
    assert (summary.pictures, summary.right, summary.accuracy.value) == (6, 4, 4 / 6)
    assert (norm.curve.accuracy * 6).round(9).tolist() == [4, 3, 3, 2, 1]
    assert (norm.curve.unsearched * 6).round(9).tolist() == [0, 0, 1, 1, 1]
    assert (norm.curve.low <= norm.curve.accuracy).all()
    assert (norm.curve.accuracy <= norm.curve.high).all()
    # At 1, 2, 4 and 8 grey levels of 255 nothing has changed yet: all distances are larger.
    assert (norm.customary.accuracy * 6).round(9).tolist() == [4, 4, 4, 4]
    assert present(norm.median).value == pytest.approx(0.3)  # of 0.1, 0.2, 0.4 and a censored distance
    assert (norm.censored, norm.unreliable) == (1, 1)


def test_classes_add_up() -> None:
    classes = summarise_classes(RECORDS, ["linf"], 0, RADII)
    whole = summarise(RECORDS, ["linf"], 0, RADII)
    assert list(classes) == [0, 1, 2]
    assert sum(each.pictures * each.norms["linf"].curve.accuracy for each in classes.values()) == pytest.approx(
        whole.pictures * whole.norms["linf"].curve.accuracy
    )
    assert classes[2].norms["linf"].median is None
    assert all(each.small for each in classes.values())


def test_the_report_is_json_that_says_what_it_is(tmp_path: Path) -> None:
    unreadable = Record("g", "", 1, None, error="damaged")
    failed = Record("h", "", 1, None, error="ValueError: bad", traceback="line 1")
    data = DataSet(tmp_path, tuple(Labelled(each.file, each.label) for each in RECORDS), 3, 2)
    summary, classes = summarise(RECORDS, ["linf"], 0, RADII), summarise_classes(RECORDS, ["linf"], 0, RADII)
    path = tmp_path / "robustness.json"
    write_report(path, {"seed": 0}, data, ["x", "y", "z"], [*RECORDS, unreadable, failed], summary, classes)
    report = json.loads(path.read_text())
    assert report["measure"].startswith("empirical robust accuracy: an upper bound")
    assert report["data"]["unreadable"] == [{"file": "g", "error": "damaged"}]
    assert report["data"]["failed"] == [{"file": "h", "error": "ValueError: bad"}]
    assert (report["data"]["pictures"], report["data"]["measured"], report["n"]) == (8, 6, 6)
    assert report["data"]["not_of_the_model"] == 3
    curve = report["norms"]["linf"]["curve"]
    assert curve["radius"] == RADII["linf"].tolist()
    assert {len(column) for column in curve.values()} == {5}
    assert [(each["label"], each["n"], each["small"]) for each in report["classes"]] == [
        ("x", 3, True),
        ("y", 2, True),
        ("z", 1, True),
    ]
    # Between 0.4 and what was not found: no upper end.
    assert report["classes"][1]["norms"]["linf"]["median"]["high"] is None


@pytest.mark.parametrize("records", [RECORDS, [record("a", 0, 0)], [record("a", 0, None)], [record("a", 0, 0.1)]])
def test_the_figure_is_a_picture(records: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "robustness.png"
    draw(path, summarise(records, ["linf"], 0), "model 1.0", "fmn, 6 evaluations")
    with Image.open(path) as picture:
        assert picture.size == (1050, 780)
        levels = np.asarray(picture.convert("L"))
    assert (levels == 255).mean() > 0.4
    assert (levels < 128).any()
