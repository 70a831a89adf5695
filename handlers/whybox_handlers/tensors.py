"""Arrays on the wire."""

import numpy as np
from numpy.typing import NDArray

from whybox import v1


def encode(array: NDArray[np.float32], dtype: str) -> v1.Tensor:
    """Row-major, little-endian.

    Args:
        array: Finite values of any shape, not empty.
        dtype: "float32", "float16", or "uint8": value = scale * byte + offset, with 0 and 255 at the extremes.
    """
    if dtype == "uint8":
        low, high = float(array.min()), float(array.max())
        scale = (high - low) / 255 or 1.0
        data = np.rint((array - low) / scale).astype(np.uint8).tobytes()
        return v1.Tensor(shape=array.shape, dtype=dtype, data=data, scale=scale, offset=low)
    little_endian = {"float32": "<f4", "float16": "<f2"}[dtype]
    return v1.Tensor(shape=array.shape, dtype=dtype, data=array.astype(little_endian).tobytes())
