"""Pictures as PNG files."""

from io import BytesIO

import numpy as np
from PIL import Image
from torch import Tensor


def mask(inside: Tensor) -> bytes:
    """[H, W] booleans as a black-and-white PNG file; True is white."""
    return png(Image.fromarray(inside.numpy().astype(np.uint8) * 255).convert("1"))


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = BytesIO()
    picture.save(file, format="PNG", optimize=False)
    return file.getvalue()
