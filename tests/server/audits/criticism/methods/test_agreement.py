"""Split halves and rank agreement."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from whybox_server.audits.criticism.methods.agreement import rank_agreement, split_half_agreement
from whybox_server.audits.criticism.methods.effects import mean_difference
from whybox_server.audits.criticism.pictures import Floats

HAVING = np.arange(60) < 20
ONE = np.zeros(60, np.int64)


def agreement(values: Floats, groups: object = None, seed: int = 0) -> int:
    units = np.arange(60) if groups is None else np.asarray(groups)
    return split_half_agreement(mean_difference(values, HAVING, ONE), HAVING, units, seed)


def test_agreement_follows_the_effect() -> None:
    noise = np.random.default_rng(0).normal(size=60)
    noise -= np.where(HAVING, noise[HAVING].mean(), noise[~HAVING].mean())
    counts = [agreement(noise + effect * HAVING) for effect in (0.02, 0.5, 5.0)]
    assert counts == sorted(counts)
    assert counts[0] < 50
    assert counts[-1] == 100
    assert agreement(np.zeros(60)) == 0
    assert agreement(noise - 5.0 * HAVING) == 100


def test_halves_are_seeded() -> None:
    values = np.random.default_rng(0).normal(size=60) + 0.4 * HAVING
    assert agreement(values, seed=3) == agreement(values, seed=3)
    assert len({agreement(values, seed=seed) for seed in range(8)}) > 1


def test_both_halves_hold_half_of_each_group_and_whole_groups_of_duplicates() -> None:
    seen: list[Floats] = []

    def effect(weights: Floats) -> Floats:
        seen.append(weights)
        return np.ones(len(weights))

    # Pictures 0 to 5 are two groups of three, 58 and 59 are one of two.
    groups = np.arange(60)
    groups[:6], groups[58:] = [0, 0, 0, 1, 1, 1], 58
    assert split_half_agreement(effect, HAVING, groups, 0) == 100
    _, half, other = seen
    np.testing.assert_array_equal(half + other, 1)
    for first, *others in ([0, 1, 2], [3, 4, 5], [58, 59]):
        assert all((half[:, first] == half[:, row]).all() for row in others)
    # 16 units with the value and 39 without it are dealt out evenly.
    units = np.unique(groups, return_index=True)[1]
    assert set(half[:, units[HAVING[units]]].sum(axis=1)) == {8}
    assert set(half[:, units[~HAVING[units]]].sum(axis=1)) == {19, 20}
    assert len(np.unique(half, axis=0)) == 100


def test_rank_agreement() -> None:
    generator = np.random.default_rng(0)
    distances = generator.exponential(size=50)
    others = distances * generator.uniform(0.3, 3, 50)
    others[7] = math.inf
    found = rank_agreement(distances, others, 0)
    assert found.rho == pytest.approx(stats.spearmanr(distances, others).statistic)
    assert found.tau == pytest.approx(stats.kendalltau(stats.rankdata(distances), stats.rankdata(others)).statistic)
    assert found.rho is not None
    assert found.rho_low is not None
    assert found.rho_high is not None
    # The normal interval of a rho: Bonett and Wright (2000).
    half = 1.96 * math.sqrt((1 + found.rho**2 / 2) / 47)
    assert found.rho_low == pytest.approx(math.tanh(math.atanh(found.rho) - half), abs=0.08)
    assert found.rho_high == pytest.approx(math.tanh(math.atanh(found.rho) + half), abs=0.08)
    assert found == rank_agreement(distances, others, 0)


RISING = np.arange(1.0, 20)
# Most resamples of these hold one value.
LONELY = np.append(np.ones(11), 2)


@pytest.mark.parametrize(
    ("distances", "others", "expected"),
    [
        (np.append(RISING, math.inf), np.arange(20.0) * 10, (1, 1, 1, 1)),
        (RISING, -RISING, (-1, -1, -1, -1)),
        (np.ones(19), RISING, (None, None, None, None)),
        (LONELY, LONELY, (1, None, None, 1)),
    ],
)
def test_rank_agreement_at_its_ends(distances: Floats, others: Floats, expected: tuple[float | None, ...]) -> None:
    assert astuple(rank_agreement(distances, others, 0)) == pytest.approx(expected)
