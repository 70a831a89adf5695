"""Effects and intervals against brute force, statsmodels and simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from whybox_server.audits.criticism.methods.effects import (
    beyond,
    bootstrap,
    cliffs_delta,
    gap_interval,
    mean_difference,
    of_all,
)
from whybox_server.audits.criticism.pictures import Booleans, Floats, Integers

SEEDS = range(5)


def brute_delta(lower: Floats, upper: Floats, having: Booleans) -> float:
    pairs = [
        float(lower[i] > upper[j]) - float(upper[i] < lower[j])
        for i in np.flatnonzero(having)
        for j in np.flatnonzero(~having)
    ]
    return float(np.mean(pairs))


def drawn(seed: int, number: int = 60, strata: int = 1) -> tuple[Floats, Booleans, Integers]:
    """Values with ties and infinite ones, groups and strata."""
    generator = np.random.default_rng(seed)
    values = np.round(generator.gamma(2, 1, number), 1)
    values[generator.random(number) < 0.1] = np.inf
    return values, generator.random(number) < 0.3, generator.integers(strata, size=number)


@pytest.mark.parametrize("seed", SEEDS)
def test_delta_is_the_mean_sign_of_all_pairs(seed: int) -> None:
    values, having, one = drawn(seed)
    effect = of_all(cliffs_delta(values, values, having, one), len(values))
    assert effect == pytest.approx(brute_delta(values, values, having))
    # Turning the groups round turns the sign.
    assert of_all(cliffs_delta(values, values, ~having, one), len(values)) == pytest.approx(-effect)


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_that_cannot_be_ordered_count_as_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    lower = generator.random(40)
    upper = np.where(generator.random(40) < 0.3, np.inf, lower)
    having = generator.random(40) < 0.5
    effect = of_all(cliffs_delta(lower, upper, having, np.zeros(40, np.int64)), 40)
    assert effect == pytest.approx(brute_delta(lower, upper, having))


@pytest.mark.parametrize("seed", SEEDS)
def test_strata_have_the_weights_of_van_elteren(seed: int) -> None:
    values, having, strata = drawn(seed, strata=3)
    deltas, weights = [], []
    for stratum in range(3):
        rows = strata == stratum
        ours = having[rows].sum()
        deltas.append(brute_delta(values[rows], values[rows], having[rows]))
        weights.append(ours * (rows.sum() - ours) / (rows.sum() + 1))
    effect = of_all(cliffs_delta(values, values, having, strata), len(values))
    assert effect == pytest.approx(np.average(deltas, weights=weights))


def test_weights_of_whole_numbers_are_repeated_pictures() -> None:
    values, having, strata = drawn(0, strata=2)
    weights = np.random.default_rng(1).integers(4, size=(6, len(values)))
    weighted = cliffs_delta(values, values, having, strata)(weights.astype(np.float64))
    means = mean_difference(np.minimum(values, 9), having, strata)(weights.astype(np.float64))
    for row, numbers in enumerate(weights):
        again = np.repeat(np.arange(len(values)), numbers)
        copies = values[again], having[again], strata[again]
        assert weighted[row] == pytest.approx(of_all(cliffs_delta(copies[0], *copies), len(again)))
        capped = mean_difference(np.minimum(copies[0], 9), copies[1], copies[2])
        assert means[row] == pytest.approx(of_all(capped, len(again)))


def test_without_pairs_there_is_no_effect() -> None:
    having = np.array([True, True])
    for effect in (
        cliffs_delta(np.ones(2), np.ones(2), having, np.zeros(2, np.int64)),
        mean_difference(np.ones(2), having, np.zeros(2, np.int64)),
    ):
        assert of_all(effect, 2) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_is_newcombes_for_one_stratum(seed: int) -> None:
    generator = np.random.default_rng(seed)
    having, values = generator.random(80) < 0.4, generator.random(80) < 0.9
    expected = confint_proportions_2indep(
        values[having].sum(), having.sum(), values[~having].sum(), (~having).sum(), method="newcomb"
    )
    assert gap_interval(values, having, np.zeros(80, np.int64)) == pytest.approx(expected)


def test_gap_within_strata_covers_the_truth() -> None:
    generator = np.random.default_rng(0)
    strata = np.repeat(np.arange(4), 40)
    having = np.tile(np.arange(40) < 15, 4)
    chance = 0.6 + 0.1 * strata - 0.2 * having
    covered = sum(
        low <= -0.2 <= high
        for low, high in (gap_interval(generator.random(160) < chance, having, strata) for _ in range(400))
    )
    assert 0.93 <= covered / 400 <= 0.99


def test_bootstrap_covers_the_truth() -> None:
    """Delta of exponential distributions is known; see `planted.shifted`."""
    generator = np.random.default_rng(0)
    having, one = np.arange(100) < 30, np.zeros(100, np.int64)
    covered = 0
    for _ in range(200):
        values = generator.exponential(np.where(having, 1.5, 1.0))
        low, high = bootstrap(cliffs_delta(values, values, having, one), having, one, threshold=0.1, seed=0)
        covered += low <= 0.2 <= high
    assert 0.9 <= covered / 200 <= 0.985


def test_an_end_close_to_the_threshold_does_not_depend_on_the_seed() -> None:
    values, having, one = drawn(0, number=200)
    values = np.where(having, values / 3, values)
    effect = cliffs_delta(values, values, having, one)
    loose = [bootstrap(effect, having, one, threshold=0.9, seed=seed)[1] for seed in range(40)]
    close = [bootstrap(effect, having, one, threshold=-loose[0], seed=seed)[1] for seed in range(40)]
    assert loose[0] < 0
    assert np.std(close) < np.std(loose) / 2
    assert np.mean(close) == pytest.approx(np.mean(loose), abs=0.01)


def test_bootstrap_keeps_every_group_and_stratum() -> None:
    """A difference of means that is the same in all resamples: each cell has one value."""
    strata, having = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    values = 1.0 * having + 5.0 * strata
    assert bootstrap(mean_difference(values, having, strata), having, strata, 0.1, 0) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("interval", "expected"), [((0.11, 0.5), True), ((-0.5, -0.11), True), ((0.1, 0.5), False), ((-0.5, 0.5), False)]
)
def test_beyond(interval: tuple[float, float], expected: bool) -> None:
    assert beyond(interval, 0.1) == expected
