"""A served model, with the lengths of its labels counted once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from whybox import v1


@dataclass(frozen=True)
class Served:
    """A served model.

    Attributes:
        model: Its manifest.
        labels: Bytes of its labels, the longest first.
    """

    model: v1.Model
    labels: tuple[int, ...]

    @classmethod
    def of(cls, model: v1.Model) -> Self:
        """Counts the labels of a model."""
        return cls(model, tuple(sorted((len(label.encode()) for label in model.labels), reverse=True)))

    @property
    def label(self) -> int:
        """Bytes of the longest label."""
        return max(self.labels, default=0)


Sizes = Callable[[v1.AnalyzeRequest, Served, Sequence[Served]], Sequence[int]]
"""The function of a part; see `gateway.sizes`."""
