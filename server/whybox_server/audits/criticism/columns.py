"""Which columns of the table are tested, which values of them in which class, and why others are not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError, Measurements, Texts, annotated

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


def with_crossings(measurements: Measurements, options: CriticismOptions) -> Measurements:
    """The pictures with the crossings that were asked for as further attributes; see `Column` for their names.

    Raises:
        CriticismError: The options name what the measurements do not have.
    """
    crossings = {}
    for first, second in options.crosses:
        _check("attribute", [first, second], measurements.attributes)
        crossings[f"{first},{second}"] = _crossed(measurements.attributes[first], measurements.attributes[second])
    crossed = replace(measurements, attributes={**measurements.attributes, **crossings})
    _check("attribute", options.attributes or (), crossed.attributes)
    _check("confounder", options.confounders, crossed.confounders)
    if crossed.distances:
        _check("primary norm", [options.primary_norm], crossed.distances)
    return crossed


def read_columns(measurements: Measurements, options: CriticismOptions) -> tuple[Column, ...]:
    """Each column with its fate.

    Args:
        measurements: Those of `with_crossings`.
        options: The columns that are named.

    Raises:
        CriticismError: A column that is named cannot be tested.
    """
    named = _named(options)
    columns = []
    for name in measurements.attributes:
        numbers = [len(values) for values in _present(measurements, name).values()]
        reason = "is a confounder" if name in options.confounders else _reason(numbers, any_number=name in named)
        if reason and name in named:
            raise CriticismError(f"attribute {name!r} cannot be tested: it {reason}")
        columns.append(Column(name, not reason, reason))
    return tuple(columns)


def questions(measurements: Measurements, columns: Iterable[Column], options: CriticismOptions) -> Iterator[Question]:
    """All that is asked, class by class: two values once, the later one against the other; more, each against the rest.

    Args:
        measurements: Those of `with_crossings`.
        columns: The columns.
        options: The columns that are named.
    """
    known = {ADVERSARIAL_CRITICISM: bool(measurements.distances), ERROR_RATE: True, CALIBRATION: measurements.confident}
    kinds = [kind for kind in KINDS if known[kind]]
    named = _named(options)
    present = {column.name: _present(measurements, column.name) for column in columns if column.tested}
    for label in measurements.class_rows():
        for name, by_class in present.items():
            values = by_class[label]
            if len(values) > VALUES and name not in named:
                continue
            compared = values[-1:] if len(values) == 2 else values if len(values) > 2 else [""]
            for value in compared:
                yield from (Question(kind, label, name, value) for kind in kinds)


def _named(options: CriticismOptions) -> set[str]:
    return {*(options.attributes or ()), *(",".join(cross) for cross in options.crosses)}


def _present(measurements: Measurements, name: str) -> dict[int, list[str]]:
    """The annotated values that the pictures of each class have, in their order."""
    values = measurements.attributes[name]
    known = annotated(values)
    return {
        label: [str(value) for value in np.unique(values[rows[known[rows]]])]
        for label, rows in measurements.class_rows().items()
    }


def _reason(numbers: list[int], *, any_number: bool) -> str:
    """Why a column is not tested, by its number of values in each class; "" for a column that is."""
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


def _check(what: str, names: Iterable[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise CriticismError(f"{what} {name!r} is not among those measured: {', '.join(known) or 'none'}")
