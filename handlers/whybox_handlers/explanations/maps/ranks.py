"""Likeness of two maps in the order of their values."""

import numpy as np
from scipy.stats import rankdata
from torch import Tensor


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation, -1 to 1; equal values share their mean rank.

    0 where either map has one value everywhere: it orders nothing, so nothing agrees with it.

    Args:
        one: Of any shape, not empty.
        other: Of the same.
    """
    ranks = [rankdata(values.double().numpy().ravel()) for values in (one, other)]
    first, second = (each - each.mean() for each in ranks)
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else 0.0


def is_constant(values: Tensor) -> bool:
    """Whether a map has one value everywhere, so that it tells no place from another."""
    return bool((values == values.flatten()[0]).all())
