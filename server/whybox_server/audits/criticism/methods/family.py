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


def largest_flagged(q_values: Sequence[float]) -> float:
    """The largest p-value with which one more of the tests would have been significant, beside those that are.

    Args:
        q_values: Those of the whole family, at least one.
    """
    significant = int((np.asarray(q_values) < Q).sum())
    return Q * min(significant + 1, len(q_values)) / len(q_values)
