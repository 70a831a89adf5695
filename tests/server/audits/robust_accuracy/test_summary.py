"""The numbers of hand-made measurements, as JSON and as a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from presence import present
from whybox_server.audits.criticism.pictures import Measurements
from whybox_server.audits.passes.tally import Faults
from whybox_server.audits.robust_accuracy.figure import draw
from whybox_server.audits.robust_accuracy.report import write_report
from whybox_server.audits.robust_accuracy.summary import summarise, summarise_classes

RADII = {"linf": np.array([0.0, 0.1, 0.15, 0.2, 0.5])}


# Name, class, distance (0 for a wrong prediction, None without a flip) and searched radius.
PICTURES = [
    ("a", 0, 0.1, 0.3),
    ("b", 0, 0.2, 0.3),
    ("c", 0, 0, 0.3),
    ("d", 1, None, 0.12),
    ("e", 1, 0.4, 0.3),
    ("f", 2, 0, 0.3),
]


def measured(*pictures: tuple[str, int, float | None, float]) -> Measurements:
    """Something speaks against a distance that was not found."""
    names, labels, distances, searched = zip(*pictures, strict=True)
    sizes = np.array([np.inf if distance is None else distance for distance in distances])
    return Measurements(
        files=names,
        labels=np.array(labels),
        predicted=np.array(labels) + (sizes == 0),
        confidence=np.full(len(names), 0.9),
        distances={"linf": sizes},
        searched_radius={"linf": np.where(sizes > 0, searched, np.nan)},
        reasons={"linf": np.isinf(sizes)},
        attributes={},
        confounders={},
        split=None,
        groups=np.arange(len(names)),
    )


MEASURED = measured(*PICTURES)


def test_the_curve_of_hand_made_measurements() -> None:
    summary = summarise(MEASURED, ["linf"], 0, RADII)
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
    classes = summarise_classes(MEASURED, ["linf"], 0, RADII)
    whole = summarise(MEASURED, ["linf"], 0, RADII)
    assert list(classes) == [0, 1, 2]
    assert sum(each.pictures * each.norms["linf"].curve.accuracy for each in classes.values()) == pytest.approx(
        whole.pictures * whole.norms["linf"].curve.accuracy
    )
    assert classes[2].norms["linf"].median is None
    assert all(each.small for each in classes.values())


def test_the_report_is_json_that_says_what_it_is(tmp_path: Path) -> None:
    missing = Faults([{"file": "g", "error": "damaged"}], [{"file": "h", "error": "ValueError: bad"}])
    summary, classes = summarise(MEASURED, ["linf"], 0, RADII), summarise_classes(MEASURED, ["linf"], 0, RADII)
    path = tmp_path / "robustness.json"
    data = {"pictures": 8, "measured": 6, "not_of_the_model": 3}
    write_report(path, {"seed": 0}, data, missing, ["x", "y", "z"], summary, classes)
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


@pytest.mark.parametrize("pictures", [PICTURES, *([("a", 0, distance, 0.3)] for distance in (0, None, 0.1))])
def test_the_figure_is_a_picture(pictures: list[tuple[str, int, float | None, float]], tmp_path: Path) -> None:
    path = tmp_path / "robustness.png"
    draw(path, summarise(measured(*pictures), ["linf"], 0), "model 1.0", "fmn, 6 evaluations")
    with Image.open(path) as picture:
        assert picture.size == (1050, 780)
        levels = np.asarray(picture.convert("L"))
    assert (levels == 255).mean() > 0.4
    assert (levels < 128).any()
