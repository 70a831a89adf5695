"""Accuracy and confidence of groups of pictures, over all classes: they describe, and test nothing."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whybox_server.audits.criticism.pictures import Booleans, Measurements
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


def groups(measurements: Measurements) -> Iterator[Group]:
    """All pictures, then those with each value of each attribute."""
    yield _group(measurements, "", "", np.ones(len(measurements), dtype=np.bool_))
    for name, values in measurements.attributes.items():
        for value in np.unique(values):
            yield _group(measurements, name, str(value), values == value)


def _group(measurements: Measurements, attribute: str, value: str, rows: Booleans) -> Group:
    number, right = int(rows.sum()), int(measurements.right[rows].sum())
    accuracy = proportion(right, number)
    confidence = float(measurements.confidence[rows].mean()) if measurements.confident else None
    return Group(attribute, value, number, right, accuracy.value, accuracy.low, accuracy.high, confidence)
