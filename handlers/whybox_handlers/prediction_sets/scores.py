"""The scores of classes, and the rank of the score that is a threshold.

All are pure functions, and the same when a table is calibrated and when a request is answered.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]


def probabilities(logits: Logits) -> Array:
    """Softmax of logits [classes]; summed in float64, so that the sum is 1 to about 1e-16."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)


def ranking(logits: Logits) -> Ranks:
    """The classes of logits [classes], the most probable first; among equal logits the lowest index first."""
    return np.argsort(-logits, kind="stable")


def lac(logits: Logits) -> Array:
    """1 - the probability of each class (Sadinle, Lei and Wasserman, arXiv:1609.00451).

    Args:
        logits: [classes].

    Returns:
        [classes], 0 to 1. The sets are the smallest on average for their coverage.
    """
    return 1 - probabilities(logits)


def aps(logits: Logits) -> Array:
    """The probability of all classes that rank before each class (Romano, Sesia and Candès, arXiv:2006.02544).

    A set is then the paper's L(x; tau): the first classes whose probabilities add up to more than tau, the class that
    passes tau included, and the score of a class is the smallest tau whose set has it. The paper's score adds a random
    share of the class's own probability. Without it a picture always has the same set, the most probable class is in
    every set, and the promise holds all the same. With the whole of it, the score of a sure and right answer would be
    worse than that of an unsure one, and sets would be many times larger. Among equal logits the class with the lower
    index ranks first.

    Args:
        logits: [classes].

    Returns:
        [classes], 0 for the most probable class, up to 1 and at most 1e-12 more, by rounding.
    """
    order = ranking(logits)
    scores = np.zeros(len(logits))
    scores[order[1:]] = np.cumsum(probabilities(logits)[order])[:-1]
    return scores


SCORES: Mapping[str, Callable[[Logits], Array]] = {"aps": aps, "lac": lac}
"""The methods; see `whybox.v1.vocabulary.SET_METHODS`."""


def threshold_rank(n: int, alpha: float) -> int | None:
    """The rank, from 1, of the score that is the threshold: ceil((n + 1) (1 - alpha)).

    Args:
        n: Number of calibration pictures.
        alpha: Share of right classes that sets may miss, above 0 and below 1; taken as it is written in decimals,
            because the next float above 0.9 must not cost a rank.

    Returns:
        At most `n`; None if `n` pictures cannot resolve `alpha`, so that the threshold is infinite.
    """
    rank = math.ceil((n + 1) * (1 - Fraction(repr(alpha))))
    return rank if rank <= n else None


def kept_ranks(n: int, most: int) -> Ranks:
    """The ranks, from 1, of the scores that are kept of `n`: all of them, or `most` of them, the largest included.

    The ranks are ceil(j n / m) for j = 1 to m = min(n, most).
    """
    kept = min(n, most)
    return -(-np.arange(1, kept + 1) * n // kept)


def place_of(rank: int, n: int, kept: int) -> int:
    """The place, from 0, of the first kept score whose rank is at least `rank`; see `kept_ranks`.

    A threshold of a higher rank is larger, so that sets keep their promise.
    """
    # The smallest j with ceil(j n / kept) >= rank.
    return (rank - 1) * kept // n


def included(scores: Array, threshold: float, predicted: int) -> npt.NDArray[np.bool_]:
    """Which classes a set has.

    Args:
        scores: [classes].
        threshold: The largest score; infinite for all classes.
        predicted: The most probable class, which each set has: an empty set, as LAC can give, would help no caller, and
            a larger one keeps the promise.

    Returns:
        [classes].
    """
    inside = scores <= threshold
    inside[predicted] = True
    return inside
