"""What the statistics of an audit are given: one row for each picture, class by class."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]

_NONE = np.empty(0, dtype=np.int64)

UNKNOWN = ("", "unknown")
"""Values that say that a picture was not annotated; they are never tested."""


class CriticismError(ValueError):
    """The measurements or the options cannot be used; the message names the field and the remedy."""


class Pictures(ABC):
    """The audited pictures. Who reads them class by class needs memory for one class, however many there are."""

    @property
    @abstractmethod
    def classes(self) -> Sequence[int]:
        """The indices of the classes that have pictures, in rising order."""

    @property
    @abstractmethod
    def header(self) -> "Measurements":
        """No picture, but every column."""

    @abstractmethod
    def of_class(self, index: int) -> "Measurements":
        """The pictures of a class, in their order; a class without pictures has the header alone."""

    def parts(self) -> "Iterator[tuple[int, Measurements]]":
        """Each class that has pictures, with its index."""
        for index in self.classes:
            yield index, self.of_class(index)


@dataclass(frozen=True)
class Measurements(Pictures):
    """Audited pictures in memory, N of them. Duplicates are counted once, and unreadable files are left out.

    Attributes:
        files: [N], the name of each picture.
        labels: [N], index of the right class.
        predicted: [N], index of the predicted class.
        confidence: [N], probability of the predicted class, 0 to 1; NaN in every row if no confidence is known.
        distances: By norm: [N], the size of the smallest change found that makes the answer wrong, for values in
            [0, 1]; 0 where the answer is wrong without a change, infinite where no such change was found. Empty if no
            attack was made.
        searched_radius: By norm: [N], largest size of change that was tried; NaN where the answer is wrong.
        reasons: By norm: [N], whether something speaks against the distance.
        attributes: By name: [N], values as text. Those of `UNKNOWN` are never tested.
        confounders: By name: [N], categorical values as text.
        split: [N], the part that each picture belongs to, two in all; None without confirmation.
        groups: [N]; pictures of the same group are near-duplicates and stay together in random splits.

    Raises:
        CriticismError: An array is not as long as `files`, the norms differ, or a value is out of its range.
    """

    files: tuple[str, ...]
    labels: Integers
    predicted: Integers
    confidence: Floats
    distances: Mapping[str, Floats]
    searched_radius: Mapping[str, Floats]
    reasons: Mapping[str, Booleans]
    attributes: Mapping[str, Texts]
    confounders: Mapping[str, Texts]
    split: Texts | None
    groups: Integers

    def __post_init__(self) -> None:
        for name, array in self._arrays():
            if array.shape != (len(self.files),):
                raise CriticismError(f"{name} has shape {array.shape}; it must have one value for each file")
        if not self.distances.keys() == self.searched_radius.keys() == self.reasons.keys():
            raise CriticismError("distances, searched_radius and reasons must have the same norms")
        for norm, distances in self.distances.items():
            if not np.array_equal(distances > 0, self.right) or not (distances >= 0).all():
                raise CriticismError(f"distances[{norm}] must be above 0 where the answer is right, and 0 elsewhere")
            censored = np.isinf(distances)
            if not (self.searched_radius[norm][censored] > 0).all():
                raise CriticismError(f"searched_radius[{norm}] must be above 0 where no change was found")
        known = ~np.isnan(self.confidence)
        if known.any() and not (known & (self.confidence >= 0) & (self.confidence <= 1)).all():
            raise CriticismError("confidence must be 0 to 1 in every row, or NaN in every row")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def right(self) -> Booleans:
        """[N], whether the answer is right."""
        return np.equal(self.predicted, self.labels)

    @property
    def confident(self) -> bool:
        """Whether the confidence is known."""
        return len(self) > 0 and not bool(np.isnan(self.confidence).any())

    def only(self, rows: Integers) -> Self:
        """The pictures of some rows, in their order.

        Args:
            rows: The rows, each 0 to N - 1.
        """
        kept = {
            column.name: _only(getattr(self, column.name), rows) for column in fields(self) if column.name != "files"
        }
        return type(self)(files=tuple(self.files[row] for row in rows), **kept)

    @property
    def classes(self) -> Sequence[int]:
        """See `Pictures`."""
        return list(self._rows)

    @property
    def header(self) -> Self:
        """See `Pictures`."""
        return self.only(_NONE)

    def of_class(self, index: int) -> Self:
        """See `Pictures`."""
        return self.only(self._rows.get(index, _NONE))

    @cached_property
    def _rows(self) -> dict[int, Integers]:
        """The rows of each class, by its index, in their order."""
        order = np.argsort(self.labels, kind="stable")
        labels, starts = np.unique(self.labels[order], return_index=True)
        return {int(label): rows for label, rows in zip(labels, np.split(order, starts)[1:], strict=True)}

    def _arrays(self) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, Mapping):
                yield from ((f"{column.name}[{name}]", array) for name, array in value.items())
            elif isinstance(value, np.ndarray):
                yield column.name, value


def annotated(values: Texts) -> Booleans:
    """[N], whether each value says something about its picture; see `UNKNOWN`."""
    return ~np.isin(np.char.lower(np.char.strip(values)), UNKNOWN)


def _only(value: Any, rows: Integers) -> Any:
    if isinstance(value, Mapping):
        return {name: array[rows] for name, array in value.items()}
    return None if value is None else value[rows]
