"""The noisy pictures of a certificate that were classified so far, and how they travel between pieces of work."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from whybox.v1 import errors

SELECTION_DRAWS = 100
"""Draws that choose the class; the others estimate its probability, so that the choice does not flatter it."""


@dataclass(frozen=True)
class Draws:
    """Counts of the answers.

    Attributes:
        drawn: Number of noisy pictures classified.
        selection: Answers by class among the first `SELECTION_DRAWS` draws; draws without an answer are in no class.
        count: Number of the later draws that gave the chosen class.
    """

    drawn: int = 0
    selection: Counter[int] = field(default_factory=Counter)
    count: int = 0

    @property
    def samples(self) -> int:
        """Draws that estimate the probability of the chosen class, from 0."""
        return max(self.drawn - SELECTION_DRAWS, 0)

    @property
    def class_is_chosen(self) -> bool:
        """Whether all draws that choose the class have been made."""
        return self.drawn >= SELECTION_DRAWS

    @property
    def chosen(self) -> int:
        """The most frequent class of the selection; among equally frequent classes, the one with the lowest index.

        Raises:
            FailedPreconditionError: No draw gave any class.
        """
        if not self.selection:
            raise errors.FailedPreconditionError(
                "the model's output is not finite under this noise; use a smaller sigma", reason="NOT_FINITE"
            )
        return min(self.selection, key=lambda index: (-self.selection[index], index))

    def with_answers(self, answers: Iterable[int | None]) -> Self:
        """These draws and further ones, given by their classes; None is an output that is not finite."""
        drawn, selection, count = self.drawn, self.selection.copy(), self.count
        chosen = self.chosen if self.class_is_chosen else None
        for index in answers:
            if drawn >= SELECTION_DRAWS:
                if chosen is None:
                    chosen = type(self)(drawn, selection).chosen
                count += index == chosen
            elif index is not None:
                selection[index] += 1
            drawn += 1
        return type(self)(drawn, selection, count)

    def to_bytes(self) -> bytes:
        """For `Work.resume`; only `from_bytes` reads it."""
        return json.dumps({"drawn": self.drawn, "selection": self.selection, "count": self.count}).encode()

    @classmethod
    def from_bytes(cls, resume: bytes) -> Self:
        """What `to_bytes` wrote; empty bytes are no draws."""
        if not resume:
            return cls()
        read = json.loads(resume)
        selection = Counter({int(index): number for index, number in read["selection"].items()})
        return cls(read["drawn"], selection, read["count"])
