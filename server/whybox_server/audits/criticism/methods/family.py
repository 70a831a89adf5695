"""One family of tests for an audit: adjusted p-values, and what they ask of the tests."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from whybox_server.audits.criticism.options import Q

_PERMUTATIONS = 9_999
_PER_TEST = 20


def permutations(family: int) -> int:
    """The number of permutations of each test: enough for the smallest p-value to be significant in the whole family.

    Args:
        family: Number of tests.
    """
    return max(_PERMUTATIONS, _PER_TEST * family)


def adjust(p_values: Sequence[float]) -> list[float]:
    """The q-values, p-values adjusted by Benjamini and Hochberg (1995) over the family."""
    return [float(q) for q in stats.false_discovery_control(p_values, method="bh")] if p_values else []


def largest_flagged(p_values: Sequence[float], own: float) -> float:
    """The largest p-value with which a test would be significant beside the other tests of its family.

    Args:
        p_values: Those of the whole family.
        own: That of the test itself, one of them.
    """
    number = len(p_values)
    limits = Q * np.arange(1, number + 1) / number
    # A test at the k-th limit is significant if k - 1 others are at or below that limit.
    others = np.searchsorted(np.sort(p_values), limits, side="right") - (own <= limits)
    return float(limits[others >= np.arange(number)].max())
