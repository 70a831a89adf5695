"""The columns of a table: what each is for, and why a column is no attribute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal[
    "file", "label", "split", "trained_on", "box", "predicted", "confidence", "attribute", "confounder", "other"
]

SPLIT, TRAINED_ON, BOX = "split", "trained_on", "box"

MIN_VALUES, MAX_VALUES = 2, 10
"""Without --attribute, an attribute has at least and at most this number of known values within a class."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name in the table.
        role: What it is for.
        distinct: Number of its known values.
        values: Number of pictures by value; the `SHOWN` most frequent values, known or not, the most frequent first.
        reason: Why the column is not tested as an attribute; "" for an attribute that can be tested.
    """

    name: str
    role: Role
    distinct: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


SHOWN = 12
"""The most values of a column that are listed."""

MEANING: Mapping[Role, str] = {
    "file": "it names the picture",
    "label": "it names the right class",
    "split": "it names the part that the picture belongs to",
    "trained_on": "it says whether the model was trained on the picture",
    "box": "it says where an attribute is visible",
    "predicted": "it names the predicted class",
    "confidence": "it is the probability of the predicted class",
}
"""Why a column with a role of its own is not tested."""

ADJUSTED = "tests adjust for it"
"""Why a confounder is not tested."""

_NAMED: dict[str, Role] = {SPLIT: "split", TRAINED_ON: "trained_on"}


def role_of(name: str) -> Role | None:
    """What a column is for by its name alone; None if its name does not tell.

    `split` names the part of each picture, `trained_on` says whether the model was trained on it, and `box` or
    `NAME_box` says where in the picture an attribute is visible.
    """
    if name == BOX or name.endswith(f"_{BOX}"):
        return "box"
    return _NAMED.get(name)


def reason_against(distinct: int, pictures: int, most_in_a_class: int, fewest_in_a_class: int, *, named: bool) -> str:
    """Why a column cannot be tested as an attribute; "" if it can be.

    Args:
        distinct: Number of known values.
        pictures: Number of pictures with a known value.
        most_in_a_class: The largest number of known values within a class.
        fewest_in_a_class: The smallest such number of at least `MIN_VALUES`; 0 if no class has as many.
        named: Whether the caller named the column, so that its number of values has no upper limit.
    """
    if not distinct:
        return "no picture has a known value"
    if distinct == 1:
        return "constant: one group, and a test compares two"
    if distinct == pictures:
        return "unique: each picture has another value"
    if most_in_a_class < MIN_VALUES:
        return "constant within each class: a test compares two groups of the same class"
    if not named and fewest_in_a_class > MAX_VALUES:
        return f"more than {MAX_VALUES} values within each class; name it with --attribute to test it"
    return ""
