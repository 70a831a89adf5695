"""From votes to an outcome."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .outcome import Decision, Outcome
from .votes import Votes


@dataclass(frozen=True)
class Design:
    """What the protocol says about the counting of votes.

    Attributes:
        errors: Pictures of the data set that the model answers wrongly.
        correct: Pictures of the data set that the model answers rightly. One of the two is above 0.
        unasked_errors: Errors about which nobody could be asked, from 0 to `errors`. Weights speak for the others.
        unasked_correct: Correct answers about which nobody could be asked, from 0 to `correct`.
        maybe: What "maybe" counts as.
        ties: What a tied majority counts as.
        contrasts: Pairs of cells whose difference is registered; the first minus the second.
        gold_failures: Wrong gold answers of each annotator, int64 [A]; None without gold.
        gold_failures_allowed: An annotator with more of them is excluded.
        fastest_ms: Answers faster than this are marked.
    """

    errors: int
    correct: int
    unasked_errors: int = 0
    unasked_correct: int = 0
    maybe: Decision = "accepted"
    ties: Decision = "rejected"
    contrasts: tuple[tuple[str, str], ...] = ()
    gold_failures: NDArray[np.int64] | None = None
    gold_failures_allowed: int = 1
    fastest_ms: int = 300


def compute(votes: Votes, design: Design, *, seed: int, redraws: int) -> Outcome:
    """Count votes, and say how sure the count is.

    Args:
        votes: What people said, gold and practice apart.
        design: How it counts.
        seed: Of the redraws; equal seeds give equal outcomes.
        redraws: Number of redraws behind each interval, at least 100.

    Raises:
        ValueError: Nobody voted, a cell of a contrast is unknown, or a number is out of its range.
    """
    raise NotImplementedError
