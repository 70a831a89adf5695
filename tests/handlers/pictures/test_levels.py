"""Rounding to 8 bits, against the arithmetic of whole numbers."""

import torch

from whybox_handlers.pictures.levels import LEVELS, image, rounded, tensor


def every_level() -> torch.Tensor:
    """[3, 16, 16]: each of the 256 levels, in another order in each channel."""
    levels = torch.stack([torch.arange(256), torch.arange(256).flip(0), torch.arange(256).roll(7)])
    return levels.reshape(3, 16, 16).float() / LEVELS


def test_rounding_leaves_every_level_as_it_is() -> None:
    assert torch.equal(rounded(every_level()), every_level())


def test_rounding_takes_the_nearest_level() -> None:
    # Less than half a level away, on either side.
    for offset in (-0.49, -0.2, 0.2, 0.49):
        moved = (every_level() + offset / LEVELS).clamp(0, 1)
        assert torch.equal(rounded(moved), every_level())


def test_several_pictures_are_rounded_like_each_of_them() -> None:
    pictures = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rounded(pictures), torch.stack([rounded(picture) for picture in pictures]))


def test_an_image_holds_the_rounded_values_in_rgb_order() -> None:
    picture = torch.rand(3, 5, 9, generator=torch.Generator().manual_seed(0))
    drawn = image(picture)
    assert (drawn.mode, drawn.size) == ("RGB", (9, 5))
    expected = tuple(round(float(value) * LEVELS) for value in picture[:, 2, 4])
    assert drawn.getpixel((4, 2)) == expected
    assert torch.equal(tensor(drawn), rounded(picture))
