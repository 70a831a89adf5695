"""How many people said what of each question."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .outcome import Decision
from .votes import CANNOT_JUDGE, MAYBE, NO, YES, Votes


@dataclass(frozen=True)
class Tally:
    """Votes for and against each question.

    Attributes:
        accepting: Votes that accept, int64 [Q].
        votes: All votes, int64 [Q]; 0 where all who answered could not judge.
    """

    accepting: NDArray[np.int64]
    votes: NDArray[np.int64]

    def majority(self, ties: Decision) -> NDArray[np.bool_]:
        """Whether more than half accept; a tie is decided by `ties`, and so is a question without votes; bool [Q]."""
        twice = 2 * self.accepting
        return twice >= self.votes if ties == "accepted" else twice > self.votes


def counts(votes: Votes) -> NDArray[np.int64]:
    """Number of votes for no, maybe and yes, int64 [Q, 3]; "cannot judge" is no vote."""
    cast = votes.value != CANNOT_JUDGE
    size = 3 * len(votes.questions.picture)
    return np.bincount(3 * votes.question[cast] + votes.value[cast], minlength=size).reshape(-1, 3)


def tally(counted: NDArray[np.int64], maybe: Decision) -> Tally:
    """Votes that accept among `counts`, with maybe as one of them or not."""
    accepting = counted[:, YES] + (counted[:, MAYBE] if maybe == "accepted" else 0)
    return Tally(accepting, counted.sum(axis=1))


def accepts(value: NDArray[np.int8], maybe: Decision) -> NDArray[np.bool_]:
    """Whether each vote accepts, bool [V]."""
    return value == YES if maybe == "rejected" else value > NO
