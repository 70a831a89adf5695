"""Pictures of 8 bits: the one place where pixel values are rounded to grey levels."""

import torch
from PIL import Image
from torch import Tensor

LEVELS = 255
"""Grey levels above black; one level is 1 / 255 of the range of pixel values."""


def rounded(pictures: Tensor) -> Tensor:
    """Pixel values in [0, 1], of any shape, at the nearest grey levels."""
    return torch.round(pictures * LEVELS) / LEVELS


def image_of(picture: Tensor) -> Image.Image:
    """[3, H, W] in [0, 1], rounded to 8 bits, as an image."""
    return Image.fromarray(torch.round(picture * LEVELS).byte().permute(1, 2, 0).numpy())
