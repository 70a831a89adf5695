"""Decoding of `whybox.v1.Tensor`."""

import math

import numpy as np
from numpy.typing import NDArray

from whybox.v1 import Tensor
from whybox.v1.errors import InternalError

_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("float32", "float16", "uint8")}


def decode(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a tensor as a read-only float32 array of its shape.

    Raises:
        InternalError: The tensor contradicts itself, or its dtype is unknown.
    """
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise _malformed(f"its dtype is {tensor.dtype!r}, not one of {', '.join(_DTYPES)}")
    shape = tuple(tensor.shape)
    if len(tensor.data) != math.prod(shape) * dtype.itemsize:
        raise _malformed(f"{len(tensor.data)} bytes do not make a {tensor.dtype} array of shape {list(shape)}")
    values = np.frombuffer(tensor.data, dtype).reshape(shape).astype(np.float32)
    if tensor.dtype == "uint8":
        if not (tensor.HasField("scale") and tensor.HasField("offset")):
            raise _malformed("it is uint8 without scale and offset")
        values = values * np.float32(tensor.scale) + np.float32(tensor.offset)
    values.flags.writeable = False
    return values


def _malformed(why: str) -> InternalError:
    return InternalError(f"The server's answer holds a map that cannot be decoded: {why}.", reason="MALFORMED_ANSWER")


EMPTY_MAP: NDArray[np.float32] = np.zeros((0, 0), np.float32)
EMPTY_MAP.flags.writeable = False
