"""A set of pixels lit up in its picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

# Dark enough to tell the outside from the inside, bright enough to recognise what it shows.
_OUTSIDE_BRIGHTNESS = 0.3
_OUTLINE = (255, 196, 0)
# Side of the filter's window in pixels; the outline is half as wide.
_OUTLINE_WINDOW = 5


def light_up(picture: Image.Image, inside: NDArray[np.bool_]) -> Image.Image:
    """The set in the colours of the picture and outlined, the rest of the picture in dark grey.

    Args:
        picture: RGB.
        inside: [height, width] of any resolution, stretched over the picture.
    """
    mask = Image.fromarray(inside.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    dark = ImageOps.grayscale(picture).point(lambda level: level * _OUTSIDE_BRIGHTNESS).convert("RGB")
    lit = Image.composite(picture, dark, mask)
    # What the set loses when its edge is eaten away.
    core = np.asarray(mask.filter(ImageFilter.MinFilter(_OUTLINE_WINDOW)))
    edge = Image.fromarray(np.asarray(mask) - core)
    lit.paste(_OUTLINE, mask=edge)
    return lit
