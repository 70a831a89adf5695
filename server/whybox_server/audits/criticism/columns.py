"""Which columns of the table are tested, which values of them in which class, and why others are not."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from whybox_server.audits.criticism.options import FLOOR, CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError, Measurements, Pictures, Texts, annotated

VALUES = 10
"""A column with more values in a class is not tested there, unless it is named."""

ADVERSARIAL_CRITICISM, ERROR_RATE, CALIBRATION = KINDS = ("adversarial_criticism", "error_rate", "calibration")
"""The kinds of flags."""


@dataclass(frozen=True)
class Column:
    """A column of the table, or a crossing of two.

    Attributes:
        name: Its name; a crossing has both names, with a comma between them.
        tested: Whether it is tested in some class; before the groups are counted, whether its values can be tested.
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


@dataclass(frozen=True)
class Crossed(Pictures):
    """The pictures with the crossings that were asked for as further attributes; see `Column` for their names.

    Attributes:
        pictures: The pictures without them.
        options: The options that name attributes, crossings, confounders and the primary norm.

    Raises:
        CriticismError: The options name what was not measured.
    """

    pictures: Pictures
    options: CriticismOptions

    def __post_init__(self) -> None:
        _check("confounder", self.options.confounders, self.header.confounders)
        _check("attribute", self.options.attributes or (), self.header.attributes)
        if self.header.distances:
            _check("primary norm", [self.options.primary_norm], self.header.distances)

    @property
    def classes(self) -> Sequence[int]:
        """See `Pictures`."""
        return self.pictures.classes

    @cached_property
    def header(self) -> Measurements:
        """See `Pictures`."""
        return self._crossed(self.pictures.header)

    def of_class(self, index: int) -> Measurements:
        """See `Pictures`."""
        return self._crossed(self.pictures.of_class(index))

    def _crossed(self, part: Measurements) -> Measurements:
        crossings = {}
        for both in self.options.crosses:
            _check("attribute", both, part.attributes)
            crossings[",".join(both)] = _crossed(*(part.attributes[name] for name in both))
        return replace(part, attributes={**part.attributes, **crossings})


@dataclass(frozen=True)
class Survey:
    """What one look at all pictures tells.

    Attributes:
        present: By attribute and class: the annotated values, in rising order; `VALUES` + 1 of them stand for more.
        named: The attributes that are tested however many values they have.
        kinds: The kinds of flags that can be tested.
        parts: Number of pictures in each part of the split.
    """

    present: Mapping[str, Mapping[int, Sequence[str]]]
    named: frozenset[str]
    kinds: Sequence[str]
    parts: Mapping[str, int]


def survey(pictures: Crossed) -> Survey:
    """Looks at all pictures once."""
    header, options = pictures.header, pictures.options
    named = frozenset((*(options.attributes or ()), *(",".join(both) for both in options.crosses)))
    present: dict[str, dict[int, Sequence[str]]] = {name: {} for name in header.attributes}
    parts: Counter[str] = Counter()
    confident = True
    for index, part in pictures.parts():
        for name, values in part.attributes.items():
            found = np.unique(values[annotated(values)])
            present[name][index] = [str(value) for value in (found if name in named else found[: VALUES + 1])]
        if part.split is not None:
            parts.update(part.split[annotated(part.split)].tolist())
        confident = confident and part.confident
    known = {ADVERSARIAL_CRITICISM: bool(header.distances), ERROR_RATE: True, CALIBRATION: confident}
    return Survey(present, named, [kind for kind in KINDS if known[kind]], parts)


def read_columns(seen: Survey, options: CriticismOptions) -> tuple[Column, ...]:
    """Each column with its fate.

    Args:
        seen: The pictures.
        options: The confounders.

    Raises:
        CriticismError: A column that is named cannot be tested.
    """
    columns = []
    for name, by_class in seen.present.items():
        numbers = [len(values) for values in by_class.values()]
        reason = "is a confounder" if name in options.confounders else _reason(numbers, any_number=name in seen.named)
        if reason and name in seen.named:
            raise CriticismError(f"attribute {name!r} cannot be tested: it {reason}")
        columns.append(Column(name, not reason, reason))
    return tuple(columns)


def with_fates(columns: Iterable[Column], compared: Set[str]) -> tuple[Column, ...]:
    """The columns, with the reason where no class has groups that can be compared.

    Args:
        columns: From `read_columns`.
        compared: The names of those with a question that was tested.
    """
    reason = f"has no two groups of {FLOOR} pictures that can be compared in any class"
    return tuple(
        replace(column, tested=False, reason=reason) if column.tested and column.name not in compared else column
        for column in columns
    )


def questions(seen: Survey, columns: Iterable[Column]) -> Iterator[Question]:
    """All that is asked, class by class: two values once, the later one against the other; more, each against the rest.

    Args:
        seen: The pictures.
        columns: The columns.
    """
    present = {column.name: seen.present[column.name] for column in columns if column.tested}
    for index in sorted({index for by_class in present.values() for index in by_class}):
        for name, by_class in present.items():
            values = by_class[index]
            if len(values) > VALUES and name not in seen.named:
                continue
            compared = values[-1:] if len(values) == 2 else values if len(values) > 2 else [""]
            for value in compared:
                yield from (Question(kind, index, name, value) for kind in seen.kinds)


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
