"""Likeness of two maps in the order of their values."""

from scipy.stats import spearmanr
from torch import Tensor


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation, -1 to 1; equal values share their mean rank.

    0 if either map has one value everywhere: it orders nothing, so nothing agrees with it.

    Args:
        one: A map of any shape, not empty.
        other: A map of the same shape.
    """
    if is_constant(one) or is_constant(other):
        return 0.0
    return float(spearmanr(*(values.double().numpy().ravel() for values in (one, other))).statistic)


def is_constant(values: Tensor) -> bool:
    """Whether a map has one value everywhere, so that it tells no place from another."""
    return bool((values == values.flatten()[0]).all())
