"""Pictures without a region: what a counterfactual check shows the network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from whybox_handlers.pictures.levels import LEVELS

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the upright picture; the right and lower edges are excluded."""

# Standard deviations of a Gaussian on each side of a rectangle that its blur looks at; the rest weighs 0.3 %.
_REACH = 3


@dataclass(frozen=True)
class Removal:
    """A region that a picture loses.

    Attributes:
        region: Its rectangles, each with at least one pixel and inside the picture.
        seen: The part of the picture that the model sees.
        how: "blur" or "fill".
    """

    region: Sequence[Rectangle]
    seen: Rectangle
    how: str

    def __call__(self, picture: Tensor) -> Tensor:
        """The picture without the region.

        Args:
            picture: [3, height, width], as `decode` makes it.

        Returns:
            Another tensor of the same shape and kind; beside the region it is equal.
        """
        changed = picture.clone(memory_format=torch.preserve_format)
        colour = _mean_beside(picture, self.region, self.seen) if self.how == "fill" else None
        for left, top, right, bottom in self.region:
            part = changed[:, top:bottom, left:right]
            part.copy_(_blurred(picture, (left, top, right, bottom)) if colour is None else colour)
        return changed


def _mean_beside(picture: Tensor, region: Sequence[Rectangle], seen: Rectangle) -> Tensor:
    """[3, 1, 1]: the mean colour of what the model sees outside the region; of all that it sees, if that is nothing."""
    beside = torch.zeros(picture.shape[1:], dtype=torch.bool)
    left, top, right, bottom = seen
    beside[top:bottom, left:right] = True
    for left, top, right, bottom in region:
        beside[top:bottom, left:right] = False
    if not bool(beside.any()):
        left, top, right, bottom = seen
        beside[top:bottom, left:right] = True
    mean = picture[:, beside].double().mean(dim=1)
    return (mean if picture.is_floating_point() else mean.round()).to(picture.dtype)[:, None, None]


def _blurred(picture: Tensor, rectangle: Rectangle) -> Tensor:
    """[3, h, w]: a rectangle of the picture under a Gaussian whose standard deviation is its longer side.

    Pillow computes it in 8 bits, by box blurs whose time does not grow with the width; beyond the edge of the picture
    its last pixels go on.
    """
    left, top, right, bottom = rectangle
    height, width = picture.shape[1:]
    sigma = max(right - left, bottom - top)
    reach = _REACH * sigma
    first_row, first_column = max(top - reach, 0), max(left - reach, 0)
    around = picture[:, first_row : min(bottom + reach, height), first_column : min(right + reach, width)]
    levels = around if around.dtype == torch.uint8 else (around * LEVELS).round().to(torch.uint8)
    smooth = Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).numpy())).filter(
        ImageFilter.GaussianBlur(sigma)
    )
    pixels = torch.from_numpy(np.array(smooth)).permute(2, 0, 1)
    part = pixels[:, top - first_row : bottom - first_row, left - first_column : right - first_column]
    return part if picture.dtype == torch.uint8 else part.to(picture.dtype) / LEVELS
