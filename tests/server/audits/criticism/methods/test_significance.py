"""Tests against SciPy, exhaustive permutations and the hypergeometric distribution."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from whybox_server.audits.criticism.methods.significance import (
    Alternative,
    asymptotic,
    exact,
    log_rank,
    permuted,
    stratum_ranks,
)
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers

ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "less", "greater")
ONE = np.zeros(80, np.int64)


def drawn(seed: int) -> tuple[Floats, Booleans, Integers]:
    generator = np.random.default_rng(seed)
    values = np.round(generator.gamma(2, 1, 80), 1)
    return values, generator.random(80) < 0.4, generator.integers(3, size=80)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_rank_test_is_scipys_for_one_stratum(seed: int, alternative: Alternative) -> None:
    values, having, _ = drawn(seed)
    expected = stats.mannwhitneyu(
        values[having], values[~having], use_continuity=False, alternative=alternative, method="asymptotic"
    )
    assert asymptotic(stratum_ranks(values, ONE), having, ONE, alternative) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_permutations_agree_with_the_asymptotic_test_within_strata(seed: int, alternative: Alternative) -> None:
    values, having, strata = drawn(seed)
    scores = stratum_ranks(values, strata)
    expected = asymptotic(scores, having, strata, alternative)
    assert permuted(scores, having, strata, alternative, 9999, 0) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_permutations_agree_with_all_permutations_within_strata(alternative: Alternative) -> None:
    scores = np.array([1.0, 4, 2, 8, 5, 7, 3, 9])
    having = np.array([1, 0, 0, 1, 1, 0, 0, 1], dtype=bool)
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    mean = 2 * scores[:4].mean() + 2 * scores[4:].mean()
    sums = np.array(
        [scores[[*a, *b]].sum() - mean for a, b in product(combinations(range(4), 2), combinations(range(4, 8), 2))]
    )
    observed = scores[having].sum() - mean
    extreme = {"two-sided": abs(sums) >= abs(observed), "less": sums <= observed, "greater": sums >= observed}
    chance = permuted(scores, having, strata, alternative, 20000, 0)
    assert chance == pytest.approx(extreme[alternative].mean(), abs=0.015)


def test_permutations_agree_with_scipys() -> None:
    values, having, _ = drawn(1)
    expected = stats.permutation_test(
        (values[having], values[~having]),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        vectorized=True,
        n_resamples=9999,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    assert permuted(values, having, ONE, "greater", 9999, 0) == pytest.approx(expected.pvalue, abs=0.02)


def test_permutation_p_is_never_zero() -> None:
    having = np.arange(80) < 40
    assert permuted(having.astype(np.float64), having, ONE, "two-sided", 99, 0) == 1 / 100


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(5))
def test_exact_test_is_fishers_for_one_stratum(seed: int, alternative: Alternative) -> None:
    values, having, _ = drawn(seed)
    wrong = values > 3
    table = [[(wrong & having).sum(), (~wrong & having).sum()], [(wrong & ~having).sum(), (~wrong & ~having).sum()]]
    expected = stats.fisher_exact(table, alternative=alternative).pvalue
    assert exact(wrong, having, ONE, alternative) == pytest.approx(expected)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_exact_test_within_strata_counts_all_tables(alternative: Alternative) -> None:
    values, having, strata = drawn(2)
    wrong = values > 2
    margins = [((strata == s).sum(), (wrong & (strata == s)).sum(), (having & (strata == s)).sum()) for s in range(3)]
    chances = np.zeros(81)
    for cells in product(*(range(int(number) + 1) for _, _, number in margins)):
        chances[sum(cells)] += np.prod(
            [stats.hypergeom.pmf(cell, *margin) for cell, margin in zip(cells, margins, strict=True)]
        )
    observed = (wrong & having).sum()
    expected = {
        "two-sided": chances[chances <= chances[observed] * (1 + 1e-7)].sum(),
        "less": chances[: observed + 1].sum(),
        "greater": chances[observed:].sum(),
    }
    assert exact(wrong, having, strata, alternative) == pytest.approx(expected[alternative])


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(3))
def test_log_rank_is_scipys_for_one_stratum(seed: int, alternative: Alternative) -> None:
    values, having, _ = drawn(seed)
    found = np.random.default_rng(seed).random(80) < 0.9
    ours, theirs = (stats.CensoredData(values[side & found], right=values[side & ~found]) for side in (having, ~having))
    # SciPy's "greater" means more deaths than expected, so smaller distances.
    hazard: Alternative = {"less": "greater", "greater": "less"}.get(alternative, "two-sided")  # type: ignore[assignment]
    expected = stats.logrank(ours, theirs, alternative=hazard).pvalue
    assert log_rank(values, found, having, ONE, alternative) == pytest.approx(expected)


def test_log_rank_knows_which_group_has_larger_distances() -> None:
    having = np.arange(80) < 40
    values = np.random.default_rng(0).exponential(np.where(having, 5.0, 1.0))
    assert (
        log_rank(values, values < 4, having, ONE, "greater")
        < 0.01
        < 0.99
        < log_rank(values, values < 4, having, ONE, "less")
    )


def test_log_rank_within_strata_sums_observed_minus_expected() -> None:
    values, having, strata = drawn(0)
    found = np.random.default_rng(0).random(80) < 0.8
    excess = variance = 0.0
    for stratum in range(3):
        rows = strata == stratum
        for moment in np.unique(values[rows & found]):
            at_risk, events = rows & (values >= moment), (rows & found & (values == moment)).sum()
            size, ours = at_risk.sum(), (at_risk & having).sum()
            excess += (rows & found & having & (values == moment)).sum() - events * ours / size
            if size > 1:
                variance += events * ours * (size - ours) * (size - events) / (size**2 * (size - 1))
    z = excess / variance**0.5
    assert log_rank(values, found, having, strata, "two-sided") == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert log_rank(values, found, having, strata, "less") == pytest.approx(stats.norm.sf(z))


def test_nothing_found_and_nothing_different_is_no_evidence() -> None:
    having = np.arange(80) < 40
    assert log_rank(np.ones(80), np.zeros(80, dtype=bool), having, ONE, "two-sided") == 1
    assert asymptotic(np.ones(80), having, ONE, "two-sided") == 1
    assert permuted(np.ones(80), having, ONE, "two-sided", 99, 0) == 1
    assert exact(np.zeros(80, dtype=bool), having, ONE, "two-sided") == 1


@pytest.mark.parametrize("strata", [1, 3])
def test_false_positives_of_the_tests(strata: int) -> None:
    """Under the null 3 to 7 % of the p-values are below 0.05."""
    generator = np.random.default_rng(0)
    number = 1000
    below = {"asymptotic": 0, "permuted": 0}
    for _ in range(number):
        cells = generator.integers(strata, size=80)
        values = generator.exponential(1 + 2.0 * cells)
        having = generator.random(80) < 0.3 + 0.1 * cells
        scores = stratum_ranks(values, cells)
        below["asymptotic"] += asymptotic(scores, having, cells, "two-sided") < 0.05
        below["permuted"] += permuted(values, having, cells, "two-sided", 199, 0) < 0.05
    assert all(0.03 <= times / number <= 0.07 for times in below.values()), below
