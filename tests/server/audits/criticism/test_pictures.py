"""What measurements may be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from server.audits.criticism.planted import measured, texts
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError, annotated

GOOD = measured([0.0, 0.5, np.inf], {"cue": [0, 1, 1]}, labels=[2, 0, 2], confidence=[0.1, 0.5, 1.0])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", np.zeros(2, np.int64), "labels has shape"),
        ("attributes", {"cue": texts([0, 1])}, r"attributes\[cue\] has shape"),
        ("reasons", {}, "must have the same norms"),
        ("distances", {"linf": np.array([0.1, 0.5, np.inf])}, r"distances\[linf\] must be above 0 where"),
        ("distances", {"linf": np.array([0.0, 0.0, np.inf])}, r"distances\[linf\] must be above 0 where"),
        ("distances", {"linf": np.array([0.0, np.nan, np.inf])}, r"distances\[linf\] must be above 0 where"),
        ("distances", {"linf": np.array([-1.0, 0.5, np.inf])}, r"distances\[linf\] must be above 0 where"),
        ("searched_radius", {"linf": np.array([np.nan, 0.5, np.nan])}, r"searched_radius\[linf\] must be above 0"),
        ("confidence", np.array([0.5, np.nan, 0.5]), "confidence must be 0 to 1"),
        ("confidence", np.array([0.5, 1.5, 0.5]), "confidence must be 0 to 1"),
    ],
)
def test_bad_measurements_say_what_is_wrong(field: str, value: Any, message: str) -> None:
    with pytest.raises(CriticismError, match=message):
        replace(GOOD, **{field: value})


def test_some_rows() -> None:
    assert [(label, part.files) for label, part in GOOD.parts()] == [(0, ("1.png",)), (2, ("0.png", "2.png"))]
    part = GOOD.of_class(2)
    assert part.files == ("0.png", "2.png")
    assert part.distances["linf"].tolist() == [0, np.inf]
    assert part.attributes["cue"].tolist() == ["0", "1"]
    assert part.right.tolist() == [False, True]
    assert part.split is None
    assert part.confident
    assert not measured([0.5], {}).confident


def test_unknown_values_say_nothing() -> None:
    assert annotated(texts(["", " ", "unknown", "Unknown", "no", "0"])).tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("option", "words"),
    [({"min_group": 9}, "--min-group"), ({"delta_threshold": 1.0}, "--delta"), ({"gap_threshold": -0.1}, "--gap")],
)
def test_bad_options_say_what_is_wrong(option: dict[str, float], words: str) -> None:
    with pytest.raises(CriticismError, match=f"^{words} must be at least"):
        CriticismOptions(**option)  # type: ignore[arg-type]
