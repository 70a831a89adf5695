"""Which columns are tested, which values, and why others are not."""

from collections.abc import Mapping

import numpy.typing as npt
import pytest

from server.audits.criticism.planted import measured
from whybox_server.audits.criticism.columns import Crossed, questions, read_columns, survey
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError

TWELVE = list(range(12))
LABELS = [0] * 12 + [1] * 12


def asked(
    columns: Mapping[str, npt.ArrayLike], options: CriticismOptions | None = None
) -> tuple[dict[str, str], list[tuple[int, str, str]]]:
    """The reasons of the columns that are not tested, and the questions on error rates."""
    options = options or CriticismOptions()
    seen = survey(Crossed(measured([0.5] * 24, columns, labels=LABELS), options))
    fates = read_columns(seen, options)
    return (
        {column.name: column.reason for column in fates if not column.tested},
        [
            (question.class_index, question.attribute, question.value)
            for question in questions(seen, fates)
            if question.kind == "error_rate"
        ],
    )


def test_columns_that_are_not_tested_say_why() -> None:
    reasons, found = asked(
        {
            "constant": ["a"] * 24,
            "by class": ["a"] * 12 + ["b"] * 12,
            "unique": list(range(24)),
            "empty": ["", "unknown"] * 12,
        }
    )
    assert reasons == {
        "constant": "has the same value for all pictures of each class",
        "by class": "has the same value for all pictures of each class",
        "unique": "has more than 10 values in each class where it has several",
        "empty": "annotates no picture",
    }
    assert found == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["no", "yes"] * 12, [(0, "cue", "yes"), (1, "cue", "yes")]),
        (["0", "1", "", "unknown"] * 6, [(0, "cue", "1"), (1, "cue", "1")]),
        (["a", "b", "c"] * 8, [(label, "cue", value) for label in (0, 1) for value in "abc"]),
        # One value in a class compares nothing; too many are not tested there.
        (["a", "b"] * 6 + ["b"] * 12, [(0, "cue", "b"), (1, "cue", "")]),
        (["a", "b"] * 6 + TWELVE, [(0, "cue", "b")]),
    ],
)
def test_values_that_are_compared(values: npt.ArrayLike, expected: list[tuple[int, str, str]]) -> None:
    assert asked({"cue": values}) == ({}, expected)


def test_a_named_column_may_have_many_values() -> None:
    _, found = asked({"cue": TWELVE * 2}, CriticismOptions(attributes=("cue",)))
    assert len(found) == 24


def test_crossings_are_tested_when_asked_for() -> None:
    columns = {"a": ["0", "0", "1", "1"] * 6, "b": ["x", "y", "", "y"] * 6}
    assert {attribute for _, attribute, _ in asked(columns)[1]} == {"a", "b"}
    _, found = asked(columns, CriticismOptions(crosses=(("a", "b"),)))
    assert [value for label, attribute, value in found if attribute == "a,b" and label == 0] == ["0,x", "0,y", "1,y"]


def test_a_confounder_is_not_tested() -> None:
    values = ["0", "1"] * 12
    pictures = measured([0.5] * 24, {"cue": values, "wide": values}, confounders={"wide": values})
    options = CriticismOptions(confounders=("wide",))
    fates = [(column.name, column.reason) for column in read_columns(survey(Crossed(pictures, options)), options)]
    assert fates == [("cue", ""), ("wide", "is a confounder")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CriticismOptions(attributes=("hat",)), "attribute 'hat' is not among those measured: cue, same"),
        (CriticismOptions(crosses=(("cue", "hat"),)), "attribute 'hat' is not among those measured"),
        (CriticismOptions(confounders=("hat",)), "confounder 'hat' is not among those measured: none"),
        (CriticismOptions(primary_norm="l1"), "primary norm 'l1' is not among those measured: linf"),
        (CriticismOptions(attributes=("same",)), "attribute 'same' cannot be tested: it has the same value for all"),
    ],
)
def test_names_that_do_not_fit(options: CriticismOptions, message: str) -> None:
    with pytest.raises(CriticismError, match=message):
        asked({"cue": ["0", "1"] * 12, "same": ["0"] * 24}, options)
