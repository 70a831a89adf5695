"""The votes of a study as columns: what all statistics read, wherever the votes come from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

NO, MAYBE, YES, CANNOT_JUDGE = 0, 1, 2, -1
"""Values of `Votes.value`."""

ERROR, CORRECT = 0, 1
"""Values of `Questions.stratum`."""


@dataclass(frozen=True)
class Questions:
    """What people were asked; one row is one picture with one label in one cell.

    Attributes:
        picture: Index of the picture, int64 [Q]; the same picture may stand in several rows, and is one cluster.
        cell: Index into `cells`, int64 [Q].
        stratum: `ERROR` or `CORRECT`: what the data set says about the model's answer for the picture, int8 [Q].
        weight: 1 / inclusion probability of the picture, float64 [Q].
        names: What the questions are called in an export, [Q].
        cells: Names of the cells, such as "feature/clean/model".
        item: Index of what people saw, int64 [Q]; None if each row was seen by itself. Rows of one item repeat its
            answers, one row for each of its cells, so these count once where cells are put together.
    """

    picture: NDArray[np.int64]
    cell: NDArray[np.int64]
    stratum: NDArray[np.int8]
    weight: NDArray[np.float64]
    names: tuple[str, ...]
    cells: tuple[str, ...]
    item: NDArray[np.int64] | None = None

    @property
    def first(self) -> NDArray[np.int64]:
        """The first row of each row's item, int64 [Q]."""
        if self.item is None:
            return np.arange(len(self.picture))
        _, rows, item = np.unique(self.item, return_index=True, return_inverse=True)
        return rows[item].astype(np.int64)


@dataclass(frozen=True)
class Votes:
    """Answers, one a row, in any order.

    Attributes:
        question: Index into `questions`, int64 [V].
        annotator: Index of the person, int64 [V]; None where people are unknown.
        value: `NO`, `MAYBE`, `YES` or `CANNOT_JUDGE`, int8 [V].
        questions: What was asked.
        milliseconds: From the question to the answer, float64 [V], NaN where unknown; None where all are.
    """

    question: NDArray[np.int64]
    annotator: NDArray[np.int64] | None
    value: NDArray[np.int8]
    questions: Questions
    milliseconds: NDArray[np.float64] | None = None

    def only(self, kept: NDArray[np.bool_]) -> "Votes":
        """Some of the votes, bool [V]; the questions stay."""
        return replace(
            self,
            question=self.question[kept],
            annotator=None if self.annotator is None else self.annotator[kept],
            value=self.value[kept],
            milliseconds=None if self.milliseconds is None else self.milliseconds[kept],
        )

    @property
    def once(self) -> "Votes":
        """The votes without repetition: each stands at the first row of its item."""
        return self.only(self.questions.first[self.question] == self.question)
