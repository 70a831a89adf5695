from typing import Any

import numpy as np
import pytest

from clients.answers import png, rotated_jpeg
from whybox.drawing.view import scaled, seen


def test_the_view_is_cut_from_the_upright_picture() -> None:
    encoded = rotated_jpeg()
    left = np.asarray(seen(encoded, (0, 0, 16, 20), None))
    assert left.shape == (20, 16, 3)
    assert left.min() > 200
    assert np.asarray(seen(encoded, (24, 0, 40, 20), 50)).max() < 50
    assert seen(encoded, None, None).size == (40, 20)


def test_fractional_boxes_keep_their_place() -> None:
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))
    pixels = np.asarray(seen(png(ramp), (10.5, 10.5, 40.5, 40.5), None), float)[..., 0]
    # One pixel further right is 5 levels brighter, so half a pixel is 2.5.
    np.testing.assert_allclose(pixels[5], np.arange(30) * 5 + 52.5, atol=1)


def test_a_box_rounded_over_the_edge_is_cut() -> None:
    assert seen(png(np.zeros((20, 30), np.uint8)), (-1e-7, 0, 20 + 1e-7, 20.0000001), 10).size == (10, 10)


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [(300, 200, 150, (150, 100)), (7, 7, 224, (224, 224)), (1, 900, 90, (1, 90))],
)
def test_scaled(width: int, height: int, size: int, expected: tuple[int, int]) -> None:
    assert scaled(width, height, size) == expected


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (2.5, TypeError)])
def test_sizes_are_positive_numbers(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="size must be a number of pixels from 1 to 20000, not"):
        scaled(7, 7, size)
