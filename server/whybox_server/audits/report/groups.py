"""Accuracy and confidence of groups of pictures, over all classes: they describe, and test nothing."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whybox_server.audits.criticism.pictures import Measurements, Pictures
from whybox_server.audits.statistics import proportion


@dataclass(frozen=True)
class Group:
    """The pictures with a value of an attribute.

    Attributes:
        attribute: Name of the attribute; "" for all pictures.
        value: The value, known or not.
        n: Number of pictures.
        right: Number of those that are predicted correctly.
        accuracy: right / n.
        accuracy_low: Lower end of Wilson's 95 % interval.
        accuracy_high: Upper end.
        confidence: Mean confidence; None if it is not known.
    """

    attribute: str
    value: str
    n: int
    right: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    confidence: float | None

    def to_entries(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def groups(pictures: Pictures) -> list[Group]:
    """All pictures, then those with each value of each attribute, in rising order."""
    tallies = {("", ""): _Tally()}
    for _, part in pictures.parts():
        tallies["", ""].add(part)
        for name, values in part.attributes.items():
            for value in np.unique(values):
                tally = tallies.setdefault((name, str(value)), _Tally())
                tally.add(part.only(np.flatnonzero(values == value)))
    names = ["", *pictures.header.attributes]
    return [
        tally.group(attribute, value)
        for (attribute, value), tally in sorted(tallies.items(), key=lambda item: (names.index(item[0][0]), item[0][1]))
        if tally.n
    ]


@dataclass
class _Tally:
    """Sums over some pictures; the confidence is NaN if that of a picture is not known."""

    n: int = 0
    right: int = 0
    confidence: float = 0.0

    def add(self, part: Measurements) -> None:
        self.n += len(part)
        self.right += int(part.right.sum())
        self.confidence += float(part.confidence.sum())

    def group(self, attribute: str, value: str) -> Group:
        accuracy = proportion(self.right, self.n)
        confidence = None if math.isnan(self.confidence) else self.confidence / self.n
        return Group(attribute, value, self.n, self.right, accuracy.value, accuracy.low, accuracy.high, confidence)
