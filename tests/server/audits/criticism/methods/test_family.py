"""The family of tests against the procedure of Benjamini and Hochberg."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from whybox_server.audits.criticism.methods.family import adjust, largest_flagged, permutations


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p_values = [0.01, 0.04, 0.03, 0.5]
    assert adjust(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1].tolist())
    assert adjust([]) == []


@pytest.mark.parametrize("p_values", [[0.5], [0.001, 0.5, 0.6], [0.001, 0.002, 0.003], [0.01, 0.04, 0.03, 0.5]])
def test_the_largest_p_value_that_one_more_test_may_have(p_values: list[float]) -> None:
    for own in range(len(p_values)):
        others = p_values[:own] + p_values[own + 1 :]
        largest = largest_flagged(p_values, p_values[own])
        assert adjust([*others, largest - 1e-9])[-1] < 0.05 < adjust([*others, largest + 1e-9])[-1]


@pytest.mark.parametrize(("family", "number"), [(1, 9_999), (499, 9_999), (1000, 20_000)])
def test_the_smallest_permutation_p_can_be_significant_alone(family: int, number: int) -> None:
    assert permutations(family) == number
    chances = np.ones(family)
    chances[0] = 1 / (number + 1)
    assert adjust(chances.tolist())[0] < 0.05
