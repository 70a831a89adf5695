"""The two groups that a question compares."""

from dataclasses import dataclass

import numpy as np

from whybox_server.audits.criticism.columns import Question
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers, Measurements, annotated


@dataclass(frozen=True)
class Groups:
    """The pictures of a comparison, M of them; pictures in strata without both groups are left out.

    Attributes:
        rows: [M], rows of the class's measurements.
        having: [M], whether the picture has the value of the attribute.
        strata: [M], the stratum of each picture: pictures with the same values of all confounders.
        comparable: Whether any stratum holds both groups; if none does, no picture is left out.
    """

    rows: Integers
    having: Booleans
    strata: Integers
    comparable: bool

    @property
    def n_with(self) -> int:
        """Number of pictures with the value."""
        return int(self.having.sum())

    @property
    def n_without(self) -> int:
        """Number of pictures without it."""
        return len(self.rows) - self.n_with

    def sizes(self) -> tuple[Floats, Floats]:
        """[S] each: number of pictures with the value and without it in each stratum."""
        _, strata = np.unique(self.strata, return_inverse=True)
        counts = np.bincount(2 * strata + self.having).astype(np.float64)
        return counts[1::2], counts[::2]


def group(part: Measurements, question: Question, options: CriticismOptions, kept: Booleans) -> Groups:
    """The groups of a question.

    Args:
        part: The pictures of the class, N of them.
        question: The question.
        options: The confounders.
        kept: [N], whether the comparison may use the picture.
    """
    values = part.attributes[question.attribute]
    rows = np.flatnonzero(kept & annotated(values))
    having = values[rows] == question.value
    strata = np.zeros(len(rows), dtype=np.int64)
    for name in options.confounders:
        levels, codes = np.unique(part.confounders[name][rows], return_inverse=True)
        # Numbered anew after each confounder, so that many of them do not overflow.
        _, strata = np.unique(strata * max(len(levels), 1) + codes, return_inverse=True)
    number = strata.max(initial=0) + 1
    both = (np.bincount(strata[having], minlength=number) > 0) & (np.bincount(strata[~having], minlength=number) > 0)
    informative = both[strata] if both.any() else np.ones(len(rows), dtype=bool)
    return Groups(rows[informative], having[informative], strata[informative], bool(both.any()))
