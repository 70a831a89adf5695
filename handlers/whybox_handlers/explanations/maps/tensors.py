"""Arrays on the wire."""

import zlib

import numpy as np
from numpy.typing import NDArray

from whybox import v1


def encode(array: NDArray[np.float32], dtype: str) -> v1.Tensor:
    """Row-major, little-endian, compressed if that is shorter.

    Args:
        array: Finite values of any shape, not empty.
        dtype: "float32", "float16", or "uint8": value = scale * byte + offset, with 0 and 255 at the extremes.
    """
    tensor = v1.Tensor(shape=array.shape, dtype=dtype)
    if dtype == "uint8":
        low, high = float(array.min()), float(array.max())
        tensor.scale, tensor.offset = (high - low) / 255 or 1.0, low
        plain = np.rint((array - low) / tensor.scale).astype(np.uint8).tobytes()
    else:
        plain = array.astype({"float32": "<f4", "float16": "<f2"}[dtype]).tobytes()
    deflated = zlib.compress(plain)
    if len(deflated) < len(plain):
        tensor.data, tensor.compression = deflated, "deflate"
    else:
        tensor.data = plain
    return tensor
