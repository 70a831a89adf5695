"""The 8-bit levels of encoded pictures: rounding to them, and the way to and from Pillow."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LEVELS = 255
"""The highest level of an 8-bit value, which stands for 1; level 0 stands for 0."""


def rounded(picture: Tensor) -> Tensor:
    """The picture as an 8-bit file can hold it.

    Args:
        picture: [..., 3, H, W] in [0, 1].

    Returns:
        Of the same shape, in [0, 1]: each value is the nearest multiple of 1 / 255.
    """
    return torch.round(picture * LEVELS) / LEVELS


def image(picture: Tensor) -> Image.Image:
    """The picture, [3, H, W] in [0, 1], rounded to 8 bits, as an RGB image of Pillow."""
    return Image.fromarray(torch.round(picture * LEVELS).byte().permute(1, 2, 0).numpy())


def tensor(rgb: Image.Image) -> Tensor:
    """An RGB image of Pillow as a picture: float32, [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1) / LEVELS
