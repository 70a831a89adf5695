"""Attribution maps as colours; the worker and the client draw the same colours.

It loads numpy and Pillow. The contract itself does not need it, so `whybox.v1` does not import it.

Colours are interpolated between a few anchors of ColorBrewer's RdBu and of matplotlib's inferno: even steps of the map
look like even steps, and both survive colour blindness.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Evidence for the class only: 0 is black, 1 is pale yellow.
_SEQUENTIAL = np.array(
    [(0, 0, 4), (51, 10, 94), (120, 28, 109), (188, 55, 84), (237, 105, 37), (251, 180, 26), (252, 255, 164)], float
)
# Against the class (-1) blue, for it (+1) red, white between.
_DIVERGING = np.array(
    [(5, 48, 97), (33, 102, 172), (103, 169, 207), (247, 247, 247), (239, 138, 98), (178, 24, 43), (103, 0, 31)], float
)
# A few outlying pixels would leave the rest of the map without colour.
_FULL_COLOUR_PERCENTILE = 99.0


def strengths(attribution: NDArray[np.float32], *, signed: bool) -> NDArray[np.float32]:
    """The map in units of its own 99th percentile of |value|, clipped to [-1, 1], or to [0, 1] if it is unsigned.

    Args:
        attribution: [height, width], or [channels, height, width], which is summed over the channels.
        signed: Whether negative values speak against the class; if not, they count as 0.

    Returns:
        [height, width]; all 0 for a map of zeros.
    """
    values = attribution.sum(axis=0) if attribution.ndim == 3 else attribution
    magnitudes = np.abs(values)
    # The percentile is 0 for a map with only a few pixels unequal to 0.
    full = np.percentile(magnitudes, _FULL_COLOUR_PERCENTILE) or magnitudes.max()
    return np.clip(values / (full or 1.0), -1.0 if signed else 0.0, 1.0).astype(np.float32)


def colours(values: NDArray[np.float32], *, signed: bool) -> NDArray[np.uint8]:
    """Strengths of shape [height, width] as RGB of shape [height, width, 3]."""
    anchors = _DIVERGING if signed else _SEQUENTIAL
    positions = np.linspace(-1.0 if signed else 0.0, 1.0, len(anchors))
    channels = [np.interp(values, positions, anchors[:, channel]) for channel in range(3)]
    rgb: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return rgb


def draw(values: NDArray[np.float32], size: tuple[int, int], *, signed: bool) -> Image.Image:
    """Strengths as a picture of `size` (width, height)."""
    return Image.fromarray(colours(_resized(values, size), signed=signed))


def lay_over(picture: Image.Image, values: NDArray[np.float32], alpha: float, *, signed: bool) -> Image.Image:
    """The picture in grey, so that all colour is evidence, under its map with an opacity of `alpha` in [0, 1]."""
    grey = ImageOps.grayscale(picture).convert("RGB")
    return Image.blend(grey, draw(values, picture.size, signed=signed), alpha)


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR), np.float32)
