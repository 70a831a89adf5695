"""Prototypes and criticisms against SciPy."""

import math

import numpy as np
import pytest
from scipy import stats

from whybox_server.audits.criticism.methods.tails import tail, tail_rows


def test_tails_are_fifths_in_the_order_of_their_distances() -> None:
    distances = np.array([3.0, 1, math.inf, 2, 1, 9, 8, 7, 6, 5, 4])
    assert tail_rows(distances, "criticisms").tolist() == [1, 4]
    assert tail_rows(distances, "prototypes").tolist() == [2, 5]


@pytest.mark.parametrize("name", ["prototypes", "criticisms"])
def test_a_tail_against_the_rest(name: str) -> None:
    having = np.arange(50) % 3 == 0
    found = tail(np.arange(1.0, 51), having, "prototypes" if name == "prototypes" else "criticisms")
    assert found is not None
    inside = having[40:] if name == "prototypes" else having[:10]
    outside = having[:40] if name == "prototypes" else having[10:]
    assert (found.n, found.n_with, found.rest, found.rest_with) == (10, inside.sum(), 40, outside.sum())
    table = [[inside.sum(), (~inside).sum()], [outside.sum(), (~outside).sum()]]
    assert found.p_value == pytest.approx(stats.fisher_exact(table).pvalue)
    ratio = stats.contingency.odds_ratio(table)
    assert (found.odds_ratio, found.low, found.high) == pytest.approx((ratio.statistic, *ratio.confidence_interval()))


def test_odds_without_a_bound_are_absent() -> None:
    having = np.arange(50) < 10
    easiest, hardest = (tail(np.arange(1.0, 51), having, name) for name in ("criticisms", "prototypes"))
    assert easiest is not None
    assert easiest.odds_ratio is None
    assert easiest.high is None
    assert easiest.low is not None
    assert easiest.low > 1
    assert hardest is not None
    assert (hardest.odds_ratio, hardest.low) == (0, 0)


def test_too_few_pictures_have_no_tail() -> None:
    assert tail(np.arange(1.0, 5), np.arange(4) < 2, "criticisms") is None
