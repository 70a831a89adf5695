import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from whybox_server.studies.results.fresh_majority import FreshMajority, majority_of_five


@pytest.mark.parametrize("n", [5, 6, 7, 8])
def test_five_votes_or_more_are_the_mean_majority_over_all_choices_of_five(n: int) -> None:
    k = np.arange(n + 1)
    table = FreshMajority.of(k, np.full(n + 1, n), np.ones(n + 1))
    for accepting in k:
        votes = [1] * accepting + [0] * (n - accepting)
        choices = [sum(chosen) >= 3 for chosen in itertools.combinations(votes, 5)]
        assert table.chance[n, accepting] == pytest.approx(np.mean(choices), abs=1e-9)


def test_five_votes_are_the_majority_itself() -> None:
    table = FreshMajority.of(np.array([0, 2, 3, 5]), np.full(4, 5), np.ones(4))
    np.testing.assert_allclose(table.chance[5], [0, 0, 0, 1, 1, 1], atol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (0.5, 0.5), (1.0, 4.0)])
def test_fewer_votes_leave_the_mean_unbiased(a: float, b: float) -> None:
    """Beta-distributed pictures; the number of votes goes from 1 to 7 whatever the picture."""
    truth = integrate.quad(lambda p: majority_of_five(p) * stats.beta.pdf(p, a, b), 0, 1)[0]
    rng = np.random.default_rng(5)
    size = 200_000
    n = rng.integers(1, 8, size)
    k = rng.binomial(n, rng.beta(a, b, size))
    chance = FreshMajority.of(k, n, np.ones(size)).chance[n, k]
    assert abs(chance.mean() - truth) < 4 * chance.std() / np.sqrt(size)


def test_the_majority_of_few_votes_is_biased_where_the_estimate_is_not() -> None:
    """All pictures have p = 0.7, so a fresh majority accepts 83.7 %; that of three votes accepts 78.4 %."""
    rng = np.random.default_rng(6)
    n = rng.choice([3, 5], 100_000)
    k = rng.binomial(n, 0.7)
    chance = FreshMajority.of(k, n, np.ones(len(n))).chance[n, k]
    assert chance.mean() == pytest.approx(0.837, abs=0.006)
    assert (2 * k > n)[n == 3].mean() == pytest.approx(0.784, abs=0.006)


def test_without_five_votes_the_distribution_answers() -> None:
    rng = np.random.default_rng(7)
    n = np.full(100_000, 4)
    k = rng.binomial(n, 0.7)
    assert FreshMajority.of(k, n, np.ones(len(n))).chance[n, k].mean() == pytest.approx(0.837, abs=0.02)


@pytest.mark.parametrize("most", [5, 7])
def test_influences_have_mean_zero_over_a_crowd_of_equals(most: int) -> None:
    rng = np.random.default_rng(8)
    size = 100_000
    n = rng.integers(1, most + 1, size)
    k = rng.binomial(n, rng.beta(1, 2, size))
    table = FreshMajority.of(k, n, np.ones(size))
    total = k * table.accepting[n, np.maximum(k - 1, 0)] + (n - k) * table.rejecting[n, k]
    assert abs(total.mean()) < 4 * total.std() / np.sqrt(size)
    assert (table.accepting >= -1e-12).all()
    assert (table.rejecting <= 1e-12).all()


def test_the_influence_is_the_slope_of_a_fresh_majority() -> None:
    """One person says yes 0.1 more often than the others, at p = 0.6: five votes change by 0.1 x 6 p^2 (1 - p)^2."""
    p = 0.6
    k = np.random.default_rng(9).binomial(5, p, 200_000)
    table = FreshMajority.of(k, np.full(len(k), 5), np.ones(len(k)))
    others = np.arange(5)
    mean = stats.binom.pmf(others, 4, p) @ ((p + 0.1) * table.accepting[5, :5] + (0.9 - p) * table.rejecting[5, :5])
    assert mean == pytest.approx(0.1 * 6 * p**2 * (1 - p) ** 2, rel=0.03)


@pytest.mark.parametrize(
    ("votes", "level"),
    [
        pytest.param([5] * 8, 5, id="all have five"),
        pytest.param([5] * 4 + [3] * 4, 5, id="half"),
        pytest.param([5] * 3 + [3] * 5, 3, id="fewer than half"),
        pytest.param([9] * 20 + [4] * 200, 5, id="twenty"),
        pytest.param([9] * 19 + [4] * 200, 4, id="nineteen"),
        pytest.param([1], 1, id="one vote"),
        pytest.param([1] * 50 + [2] * 3, 1, id="few with two"),
    ],
)
def test_estimates_go_by_as_many_votes_as_enough_questions_have(votes: list[int], level: int) -> None:
    n = np.array(votes)
    assert FreshMajority.of(n // 2, n, np.ones(len(n))).level == level


@pytest.mark.parametrize("most", [2, 3, 4])
def test_extrapolated_shares_have_the_noise_of_their_studies(most: int) -> None:
    """400 studies of 100 pictures: the spread of their shares is the one that each of them tells of itself."""
    rng = np.random.default_rng(most)
    shares, told = [], []
    for _ in range(400):
        k = rng.binomial(most, rng.beta(1.0, 1.5, 100))
        chance = FreshMajority.of(k, np.full(100, most), np.ones(100)).chance[most, k]
        shares.append(chance.mean())
        told.append(chance.var(ddof=1) / 100)
    assert np.sqrt(np.mean(told)) == pytest.approx(np.std(shares), rel=0.12)
