"""The scores of calibration pictures and the sets that they would get, computed as for an answer."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from whybox.v1.vocabulary import SET_METHODS
from whybox_handlers.prediction_sets.scores import SCORES, Array, included, kept_ranks, threshold_rank

MAX_THRESHOLDS = 5000
"""At most this number of scores of a method goes into a bank."""


def scores_of(logits: bytes, label: int) -> dict[str, float]:
    """The score of the right class by each method.

    Args:
        logits: As `Record.logits`.
        label: Index of the right class.
    """
    values = np.frombuffer(logits, dtype="<f4")
    return {method: float(SCORES[method](values)[label]) for method in SET_METHODS}


def set_sizes(logits: bytes, thresholds: Mapping[tuple[str, float], float]) -> dict[tuple[str, float], int]:
    """The number of classes in the set of each method and alpha.

    Args:
        logits: As `Record.logits`.
        thresholds: By method and alpha; infinite for sets of all classes.
    """
    values = np.frombuffer(logits, dtype="<f4")
    scores = {method: SCORES[method](values) for method in SET_METHODS}
    predicted = int(values.argmax())
    return {
        (method, alpha): int(included(scores[method], limit, predicted).sum())
        for (method, alpha), limit in thresholds.items()
    }


def threshold(scores: Sequence[float] | Array, alpha: float) -> float:
    """The largest score of a class in a set; infinite if the scores cannot resolve `alpha`.

    Args:
        scores: [n], of the calibration pictures, in any order.
        alpha: Share of right classes that sets may miss.
    """
    rank = threshold_rank(len(scores), alpha)
    return math.inf if rank is None else float(np.sort(scores)[rank - 1])


def kept(scores: Array, most: int = MAX_THRESHOLDS) -> Array:
    """The scores that a bank holds of [n], in rising order; see `kept_ranks`."""
    return np.asarray(np.sort(scores)[kept_ranks(len(scores), most) - 1], dtype=np.float64)
