"""Attribution maps as pictures: alone, and over what the model saw."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox.arguments import number
from whybox.drawing.view import Box, scaled, seen
from whybox.v1 import heat_maps


def heatmap(attribution: NDArray[np.float32], size: int | None, *, signed: bool) -> Image.Image:
    """The map alone.

    Args:
        attribution: [height, width], or [channels, height, width], which is summed over the channels.
        size: Length of the picture's longer side in pixels; None for one pixel per value of the map.
        signed: Whether negative values speak against the class.

    Raises:
        ValueError: The map holds no numbers, or `size` is not positive.
    """
    values = _strengths(attribution, signed=signed)
    height, width = values.shape
    drawn_size = (width, height) if size is None else scaled(width, height, size)
    return heat_maps.draw(values, drawn_size, signed=signed)


def overlay(
    attribution: NDArray[np.float32],
    picture: bytes,
    box: Box | None,
    *,
    alpha: float,
    size: int | None,
    signed: bool,
) -> Image.Image:
    """The map over the part of the picture that the model saw, which is in grey.

    Args:
        attribution: See `heatmap`, also for `signed`.
        picture: Encoded picture.
        box: The part that the map lies over; None for the whole picture.
        alpha: Opacity of the map: 0 shows the picture alone, 1 the map alone.
        size: Length of the longer side in pixels; None for the picture's own resolution.
        signed: Whether negative values speak against the class.

    Raises:
        ValueError: `alpha` is not in [0, 1], `size` is not positive, or the map holds no numbers.
    """
    opacity = number("alpha", alpha)
    if not 0 <= opacity <= 1:
        raise ValueError(f"alpha must lie in [0, 1], not {alpha}")
    values = _strengths(attribution, signed=signed)
    return heat_maps.lay_over(seen(picture, box, size), values, opacity, signed=signed)


def _strengths(attribution: NDArray[np.float32], *, signed: bool) -> NDArray[np.float32]:
    if not attribution.size:
        raise ValueError("the map came without numbers: ask for the encoding 'uint8', 'float16' or 'float32' too")
    return heat_maps.strengths(attribution, signed=signed)
