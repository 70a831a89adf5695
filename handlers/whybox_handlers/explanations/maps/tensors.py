"""Arrays on the wire."""

import zlib

import numpy as np
from numpy.typing import NDArray

from whybox import v1
from whybox.v1.errors import InvalidRequestError

_HALF = np.finfo(np.float16)
# Steps of float16 near 0 as a share of the largest value: as coarse as uint8 may be, half a step of 255.
_COARSEST = 0.5 / 255


def encode(array: NDArray[np.float32], dtype: str) -> v1.Tensor:
    """Row-major, little-endian, compressed if that is shorter.

    Args:
        array: Finite values of any shape, not empty.
        dtype: "float32", "float16", or "uint8": value = scale * byte + offset, with 0 and 255 at the extremes.

    Raises:
        InvalidRequestError: float16 cannot hold the values: the largest is above 65504, or so small that its steps
            of 6e-8 are coarser than those of uint8.
    """
    tensor = v1.Tensor(shape=array.shape, dtype=dtype)
    if dtype == "uint8":
        # In float64, because the range of float32 values may be beyond float32.
        exact = array.astype(np.float64)
        low, high = float(exact.min()), float(exact.max())
        tensor.scale, tensor.offset = (high - low) / 255 or 1.0, low
        plain = np.rint((exact - low) / tensor.scale).astype(np.uint8).tobytes()
    else:
        if dtype == "float16":
            _check_half(array)
        plain = array.astype({"float32": "<f4", "float16": "<f2"}[dtype]).tobytes()
    deflated = zlib.compress(plain)
    if len(deflated) < len(plain):
        tensor.data, tensor.compression = deflated, "deflate"
    else:
        tensor.data = plain
    return tensor


def _check_half(array: NDArray[np.float32]) -> None:
    largest = float(np.abs(array).max())
    if largest > float(_HALF.max) or 0 < largest < float(_HALF.smallest_subnormal) / 2 / _COARSEST:
        raise InvalidRequestError(
            f"the largest value of the map is {largest:.3g}, which float16 cannot hold; ask for float32 or uint8",
            field="explanations.encodings",
        )
