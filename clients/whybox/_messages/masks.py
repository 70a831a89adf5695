"""Decoding of the masks of `whybox.v1.Region`."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whybox._messages.fields import malformed

# No network has a larger view; a few bytes of PNG can claim any size.
_LARGEST_SIDE = 4096
_MIDDLE_GREY = 127

EMPTY_MASK: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)
EMPTY_MASK.flags.writeable = False


def decode_mask(encoded: bytes) -> NDArray[np.bool_]:
    """A black and white PNG as a read-only array of shape [height, width], True for white pixels.

    Raises:
        InternalError: It is no PNG, is damaged, or is larger than any view.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=["PNG"]) as picture:
            if max(picture.size) > _LARGEST_SIDE:
                raise ValueError(f"it is {picture.width} x {picture.height} pixels large")
            mask: NDArray[np.bool_] = np.asarray(picture.convert("L")) > _MIDDLE_GREY
    except Exception as error:  # a damaged file makes Pillow raise more than its documentation names
        raise malformed(f"holds a region's mask that cannot be decoded: {error}") from error
    mask.flags.writeable = False
    return mask
