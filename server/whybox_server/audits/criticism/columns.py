"""Which columns of the table are tested, which values of them in which class, and why others are not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Booleans, CriticismError, Measurements, Texts, annotated

VALUES = 10
"""A column with more values in a class is not tested there, unless it is named."""

ADVERSARIAL_CRITICISM, ERROR_RATE, CALIBRATION = KINDS = ("adversarial_criticism", "error_rate", "calibration")
"""The kinds of flags."""


@dataclass(frozen=True)
class Column:
    """A column of the table, or a crossing of two.

    Attributes:
        name: Its name; a crossing has both names, with a comma between them.
        tested: Whether it is tested in some class.
        reason: Why it is not; "" if it is.
    """

    name: str
    tested: bool
    reason: str


@dataclass(frozen=True)
class Question:
    """Whether pictures of a class with a value of an attribute differ from those with another value.

    Attributes:
        kind: One of `KINDS`.
        class_index: Index of the class.
        attribute: Name of the column.
        value: The value; "" if the class has one value alone, so that nothing can be compared.
    """

    kind: str
    class_index: int
    attribute: str
    value: str


def read_columns(measurements: Measurements, options: CriticismOptions) -> tuple[list[Column], dict[str, Texts]]:
    """Each column with its fate, and the values of those that are tested, [N] each.

    Raises:
        CriticismError: The options name a column that does not exist or cannot be tested.
    """
    _check_names(measurements, options)
    asked = {*(options.attributes or ()), *(",".join(cross) for cross in options.crosses)}
    candidates = dict(measurements.attributes)
    for first, second in options.crosses:
        candidates[f"{first},{second}"] = _crossed(measurements.attributes[first], measurements.attributes[second])
    columns = []
    for name, values in candidates.items():
        numbers = [len(present) for _, present in _present(measurements, values)]
        reason = _reason(numbers, any_number=name in asked)
        if reason and name in asked:
            raise CriticismError(f"attribute {name!r} cannot be tested: it {reason}")
        columns.append(Column(name, not reason, reason))
    return columns, {column.name: candidates[column.name] for column in columns if column.tested}


def questions(
    measurements: Measurements, columns: Mapping[str, Texts], options: CriticismOptions
) -> Iterator[Question]:
    """All that is asked, class by class: two values once, the later one against the other; more, each against the rest.

    Args:
        measurements: The pictures.
        columns: The columns that are tested, by name: [N].
        options: The primary norm, and the columns that are named.
    """
    asked = {*(options.attributes or ()), *(",".join(cross) for cross in options.crosses)}
    kinds = [kind for kind, known in ((ADVERSARIAL_CRITICISM, measurements.distances), (ERROR_RATE, True)) if known] + [
        CALIBRATION
    ] * measurements.confident
    present = {name: dict(_present(measurements, values)) for name, values in columns.items()}
    for label in np.unique(measurements.labels):
        for name, by_class in present.items():
            values = by_class[int(label)]
            if len(values) > VALUES and name not in asked:
                continue
            compared = values[-1:] if len(values) == 2 else values if len(values) > 2 else [""]
            for value in compared:
                yield from (Question(kind, int(label), name, value) for kind in kinds)


def class_rows(measurements: Measurements, label: int) -> Booleans:
    """[N], whether the picture is of the class."""
    return np.equal(measurements.labels, label)


def _present(measurements: Measurements, values: Texts) -> Iterator[tuple[int, list[str]]]:
    """Each class, and the annotated values that its pictures have, in their order."""
    known = annotated(values)
    order = np.argsort(measurements.labels, kind="stable")
    labels, starts = np.unique(measurements.labels[order], return_index=True)
    for label, rows in zip(labels, np.split(order, starts[1:]), strict=True):
        yield int(label), [str(value) for value in np.unique(values[rows][known[rows]])]


def _reason(numbers: list[int], *, any_number: bool) -> str:
    """Why a column with so many values in each class is not tested."""
    if any(number >= 2 and (number <= VALUES or any_number) for number in numbers):
        return ""
    if not any(numbers):
        return "annotates no picture"
    if max(numbers) < 2:
        return "has the same value for all pictures of each class"
    return f"has more than {VALUES} values in each class where it has several"


def _crossed(first: Texts, second: Texts) -> Texts:
    both = annotated(first) & annotated(second)
    return np.where(both, np.char.add(np.char.add(first, ","), second), "")


def _check_names(measurements: Measurements, options: CriticismOptions) -> None:
    named = [*(options.attributes or ()), *(name for cross in options.crosses for name in cross)]
    for kind, names, known in (
        ("attribute", named, measurements.attributes),
        ("confounder", options.confounders, measurements.confounders),
    ):
        for name in names:
            # A crossing is reported by the name that joins those of its columns.
            if name not in known and name not in {",".join(cross) for cross in options.crosses}:
                raise CriticismError(f"{kind} {name!r} is not a column; the columns are {', '.join(known) or 'none'}")
    if measurements.distances and options.primary_norm not in measurements.distances:
        norms = ", ".join(measurements.distances)
        raise CriticismError(f"primary_norm is {options.primary_norm!r}, but distances were measured in {norms}")
