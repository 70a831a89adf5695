"""Minimum detectable effects against their definition and simulation."""

import numpy as np
import pytest
from scipy import stats

from server.audits.criticism.planted import distance_flag, flags, measured, shifted
from whybox_server.audits.criticism.methods.power import detectable_delta, detectable_difference, detectable_gap
from whybox_server.audits.criticism.pictures import Floats

Z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)


def sizes(*numbers: float) -> tuple[Floats, Floats]:
    return np.array(numbers[::2]), np.array(numbers[1::2])


def test_difference_of_means() -> None:
    assert detectable_difference(0.01, 0.05, 0.05) == pytest.approx(0.05 + Z * 0.01)
    # Without a threshold the significance decides, which a family makes harder to reach.
    strict = stats.norm.isf(0.0005) + stats.norm.ppf(0.8)
    assert detectable_difference(0.01, 0.0, 0.001) == pytest.approx(strict * 0.01)
    assert detectable_difference(1.0, 0.05, 0.05) == 1


def test_husky_and_snow() -> None:
    """19 pictures with and 106 without an attribute decide little."""
    assert detectable_delta(*sizes(19, 106), 0.1, 0.025) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("alpha", [0.05, 0.0005])
def test_more_pictures_detect_less(alpha: float) -> None:
    deltas = [detectable_delta(*sizes(n, n), 0.1, alpha) for n in (10, 20, 50, 200, 10_000)]
    gaps = [detectable_gap(0.1, *sizes(n, n), 0.05, alpha) for n in (20, 50, 200, 10_000)]
    assert deltas == sorted(deltas, reverse=True)
    assert gaps == sorted(gaps, reverse=True)
    assert 0.1 < deltas[-1] < 0.15
    assert 0.05 < gaps[-1] < 0.08


def test_strata_of_the_same_sizes_detect_as_much_as_one() -> None:
    one = detectable_delta(*sizes(80, 80), 0.1, 0.05)
    assert detectable_delta(*sizes(40, 40, 40, 40), 0.1, 0.05) == pytest.approx(one, abs=0.01)


@pytest.mark.parametrize(("n_with", "n_without"), [(25, 40), (60, 140)])
def test_a_distance_effect_as_large_is_flagged_with_a_power_of_about_80_percent(n_with: int, n_without: int) -> None:
    generator = np.random.default_rng(0)
    least = detectable_delta(*sizes(n_with, n_without), 0.1, 0.025)
    found = []
    for trial in range(150):
        distances, having = shifted(n_with, n_without, least * (-1) ** trial, generator)
        found.append(distance_flag(measured(distances, {"cue": having})).state == "flagged")
    assert 0.7 <= np.mean(found) <= 0.9


def test_a_gap_as_large_is_flagged_with_a_power_of_about_80_percent() -> None:
    generator = np.random.default_rng(0)
    having = np.arange(200) < 70
    least = detectable_gap(0.2, *sizes(70, 130), 0.05, 0.025)
    found = []
    for _ in range(150):
        right = generator.random(200) > 0.2 + least * having
        found.append(flags(measured(right * generator.exponential(1, 200), {"cue": having}))["error_rate"].state)
    assert 0.7 <= np.mean([state == "flagged" for state in found]) <= 0.9
