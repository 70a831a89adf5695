"""Curves and intervals against closed forms, SciPy and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from whybox_server.audits.statistics import (
    median,
    proportion,
    radius_grid,
    robust_counts,
    wilson,
)

INF = math.inf


@pytest.mark.parametrize(
    ("distances", "radius", "count"),
    [
        ([0.1, 0.2], 0.0, 2),
        ([0.0, 0.1, 0.2], 0.0, 2),  # a wrong prediction is wrong at radius 0
        ([0.1, 0.2], 0.1, 1),  # at its distance a picture is no longer right
        ([0.1, 0.2], 0.15, 1),
        ([0.1, 0.2], 0.2, 0),
        ([0.1, INF], 9.0, 1),
        ([0.0, 0.0], 0.0, 0),
    ],
)
def test_robust_counts(distances: list[float], radius: float, count: int) -> None:
    assert robust_counts(np.array(distances), np.array([radius])).tolist() == [count]


def test_robust_counts_are_what_counting_gives() -> None:
    generator = np.random.default_rng(0)
    distances = np.round(generator.exponential(size=200), 1)
    radii = np.round(np.linspace(0, 5, 51), 1)
    brute = [(distances > radius).sum() for radius in radii]
    counts = robust_counts(distances, radii)
    assert counts.tolist() == brute
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (663, 750)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    ours = proportion(successes, trials)
    assert ours.value == successes / trials
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    low, high = wilson([successes, successes], trials)
    assert low.tolist() == [ours.low] * 2
    assert high.tolist() == [ours.high] * 2


def test_the_interval_of_the_median_is_scipys() -> None:
    distances = np.random.default_rng(1).lognormal(size=60)
    theirs = stats.bootstrap(
        (distances,), np.median, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    ours = median(distances, seed=3)
    spread = theirs.high - theirs.low
    assert ours.value == np.median(distances)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * spread)


def test_the_interval_of_the_median_in_closed_form() -> None:
    """For an odd number of values, P(resampled median <= the k-th smallest) = P(Binomial(n, k/n) > n/2)."""
    number = 101
    cumulated = stats.binom.sf(number // 2, number, np.arange(1, number + 1) / number)
    ends = [1 + int(np.argmax(cumulated >= tail)) for tail in (0.025, 0.975)]
    ours = median(np.arange(1.0, number + 1), seed=0)
    assert (ours.low, ours.high) == pytest.approx(ends, abs=1)


def test_the_interval_covers_the_median() -> None:
    generator = np.random.default_rng(4)
    intervals = [median(generator.exponential(size=40), seed=0) for _ in range(200)]
    covered = sum(each.low <= math.log(2) <= each.high for each in intervals)
    assert covered > stats.binom.ppf(0.001, 200, 0.93)


@pytest.mark.parametrize(
    ("distances", "value", "low", "high"),
    [
        ([0.5], 0.5, 0, INF),  # one distance says nothing of others
        ([0.5] * 9, 0.5, 0.5, 0.5),
        ([0.5] * 9 + [INF], 0.5, 0.5, 0.5),
        ([INF] * 5, INF, INF, INF),
        ([0.5, INF], INF, 0.5, INF),
        ([0.5, 0.5, INF], 0.5, 0.5, INF),
    ],
)
def test_medians_are_defined_with_censored_distances(
    distances: list[float], value: float, low: float, high: float
) -> None:
    estimate = median(np.array(distances), seed=0)
    assert (estimate.value, estimate.low, estimate.high) == (value, low, high)


def test_the_seed_decides() -> None:
    distances = np.random.default_rng(5).exponential(size=30)
    assert median(distances, seed=0) == median(distances, seed=0) != median(distances, seed=1)


def test_radii_begin_before_and_end_after_the_distances() -> None:
    radii = radius_grid(np.array([0.0, 2e-4, 3e-3, INF]))
    assert radii[0] == 0 < radii[1] < 2e-4
    assert radii[-1] > 3e-3
    np.testing.assert_allclose(np.diff(np.log10(radii[1:])), 1 / 20)
    others = radius_grid(np.array([1e-4, 1e-2]))
    assert set(radii) <= set(others)
    assert radius_grid(np.array([0.0, INF])).tolist() == [0]
