import numpy as np
import pytest
from numpy.typing import NDArray

from whybox.v1.heat_maps import colours, strengths


def hot(value: float = 1.0) -> NDArray[np.float32]:
    cells = np.zeros((100, 100), np.float32)
    cells[3, 3] = value
    return cells


def test_outliers_do_not_take_the_colour_away() -> None:
    values = np.ones((100, 100), np.float32)
    values[0, 0] = 1e6
    assert strengths(values, signed=False).min() == 1


@pytest.mark.parametrize("values", [np.zeros((7, 7), np.float32), hot(), hot(-5.0)])
def test_strengths_reach_one_unless_all_is_zero(values: NDArray[np.float32]) -> None:
    scaled = strengths(values, signed=True)
    np.testing.assert_array_equal(scaled, np.sign(values))


def test_channels_are_summed() -> None:
    values = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(strengths(values, signed=True), strengths(values.sum(0), signed=True))


@pytest.mark.parametrize("signed", [False, True])
def test_stronger_is_monotonic_in_lightness(signed: bool) -> None:
    ramp = np.linspace(0, 1, 64)[np.newaxis].astype(np.float32)
    lightness = colours(ramp, signed=signed)[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    steps = np.diff(lightness)
    assert (steps <= 1e-6).all() if signed else (steps >= -1e-6).all()
