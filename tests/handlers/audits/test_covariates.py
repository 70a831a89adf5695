"""Covariates of pictures whose values are known in closed form, and hashes of copies."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from whybox import v1
from whybox_handlers.audits.covariates import covariates, perceptual_hash
from whybox_handlers.models.subject import Subject

SIDE = 64


def seen(picture: Tensor, width: int = 300, height: int = 200) -> Subject:
    view = v1.View(picture_width=width, picture_height=height)
    return Subject(picture, view, torch.zeros(2), None)


def plain(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue]).view(3, 1, 1).expand(3, SIDE, SIDE)


def halves() -> Tensor:
    """Black on the left, white on the right."""
    picture = torch.zeros(3, SIDE, SIDE)
    picture[:, :, SIDE // 2 :] = 1
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (plain(0, 0, 0), {"brightness": 0, "contrast": 0, "saturation": 0, "sharpness": 0}),
        (plain(1, 1, 1), {"brightness": 1, "contrast": 0, "saturation": 0, "sharpness": 0}),
        (plain(1, 0, 0), {"brightness": 0.299, "saturation": 1}),
        (plain(0.4, 0.2, 0.3), {"brightness": 0.2712, "saturation": 0.5}),
        # The Laplacian is 1 beside the edge on the dark side, -1 on the other, and 0 in the other SIDE - 4 columns.
        (halves(), {"brightness": 0.5, "contrast": 0.5, "saturation": 0, "sharpness": 2 / (SIDE - 2)}),
    ],
    ids=["black", "white", "red", "dull", "edge"],
)
def test_covariates_in_closed_form(picture: Tensor, expected: dict[str, float]) -> None:
    found = covariates(seen(picture))
    assert (found["width"], found["height"], found["aspect_ratio"]) == (300, 200, 1.5)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def differing(one: Tensor, other: Tensor) -> int:
    return (perceptual_hash(one) ^ perceptual_hash(other)).bit_count()


def smooth(seed: int) -> Tensor:
    """A picture of large soft shapes."""
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic")[0].clamp(0, 1)


def test_a_hash_is_that_of_a_copy_and_of_no_other_picture() -> None:
    pictures = [smooth(seed) for seed in range(6)]
    for place, picture in enumerate(pictures):
        array = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        small = Image.fromarray(array).resize((160, 160))
        copy = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1) / 255
        assert differing(picture, copy) <= 3
        assert differing(picture, picture * 0.8 + 0.1) <= 3
        assert all(differing(picture, other) > 10 for other in pictures[place + 1 :])


def test_a_picture_of_one_colour_has_no_frequencies() -> None:
    assert perceptual_hash(plain(0.3, 0.3, 0.3)) == perceptual_hash(plain(0.9, 0.1, 0.5)) == 0
