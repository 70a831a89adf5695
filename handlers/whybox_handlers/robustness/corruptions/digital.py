"""Changes by processing: contrast, colours, coarse pixels, compression and warping."""

from io import BytesIO
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from whybox_handlers.pictures import levels
from whybox_handlers.robustness.corruptions.blur import smoothed
from whybox_handlers.robustness.corruptions.colours import with_hsv
from whybox_handlers.robustness.corruptions.corruption import Corruption


class Saturation(NamedTuple):
    """The factor of the saturation, and the value added afterwards; saturation is in [0, 1]."""

    factor: float
    added: float


def _contrast(picture: Tensor, factor: float, _generator: torch.Generator) -> Tensor:
    means = picture.mean(dim=(1, 2), keepdim=True)
    return means + factor * (picture - means)


def _saturate(picture: Tensor, saturation: Saturation, _generator: torch.Generator) -> Tensor:
    return with_hsv(picture, 1, lambda value: value * saturation.factor + saturation.added)


def _pixelate(picture: Tensor, share: float, _generator: torch.Generator) -> Tensor:
    """Scaled down to this share of its sides, and up again."""
    whole = levels.image(picture)
    small = whole.resize((int(whole.width * share), int(whole.height * share)), Image.Resampling.BOX)
    return levels.tensor(small.resize(whole.size, Image.Resampling.NEAREST))


def _jpeg(picture: Tensor, quality: int, _generator: torch.Generator) -> Tensor:
    file = BytesIO()
    levels.image(picture).save(file, "JPEG", quality=quality)
    return levels.tensor(Image.open(file))


def _elastic(picture: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Smooth random displacements: noise of 0.5 % of the side, blurred over 1 % of it, times the strength."""
    height, width = picture.shape[-2:]
    noise = 0.005 * height * (2 * torch.rand(2, height, width, generator=generator) - 1)
    smooth = smoothed(noise, 0.01 * height)
    # Torch's grids are in units of half the side.
    displacement = (strength * smooth / torch.tensor([width / 2, height / 2])[:, None, None]).permute(1, 2, 0)
    grid = affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False) + displacement
    return grid_sample(picture[None], grid, padding_mode="reflection", align_corners=False)[0]


DIGITAL = (
    Corruption("contrast", "digital", "Contrast is reduced.", _contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    Corruption(
        "saturate",
        "digital",
        "Colours fade (severities 1 and 2) or are exaggerated (3 to 5).",
        _saturate,
        (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(2, 0), Saturation(5, 0.1), Saturation(20, 0.2)),
    ),
    Corruption(
        "pixelate",
        "digital",
        "Scaled down and up again, so that pixels are coarse.",
        _pixelate,
        (0.6, 0.5, 0.4, 0.3, 0.25),
    ),
    Corruption("jpeg_compression", "digital", "Saved as a JPEG file of low quality.", _jpeg, (25, 18, 15, 10, 7)),
    Corruption(
        "elastic_transform",
        "digital",
        "Small random distortions everywhere.",
        _elastic,
        (12.5, 16.25, 21.25, 25.0, 30.0),
    ),
)
