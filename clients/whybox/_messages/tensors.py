"""Decoding of `whybox.v1.Tensor`."""

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from whybox._messages.fields import malformed
from whybox.v1 import Tensor
from whybox.v1.errors import InternalError

_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("float32", "float16", "uint8")}
# Most bytes of any map's elements: a compressed stream of a few kilobytes can become gigabytes.
_MOST_BYTES = 2**28

EMPTY_MAP: NDArray[np.float32] = np.zeros((0, 0), np.float32)
EMPTY_MAP.flags.writeable = False


def decode(tensor: Tensor) -> NDArray[np.float32]:
    """The values of a tensor as a read-only float32 array of its shape.

    Raises:
        InternalError: The tensor contradicts itself, is larger than any map, or its dtype or compression is unknown.
    """
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise _malformed(f"its dtype is {tensor.dtype!r}, not one of {', '.join(_DTYPES)}")
    shape = tuple(tensor.shape)
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > _MOST_BYTES:
        raise _malformed(f"its shape is {list(shape)}")
    elements = _elements(tensor, size)
    if len(elements) != size:
        raise _malformed(f"{len(elements)} bytes do not make a {tensor.dtype} array of shape {list(shape)}")
    values = np.frombuffer(elements, dtype).reshape(shape).astype(np.float32)
    if tensor.dtype == "uint8":
        if not (tensor.HasField("scale") and tensor.HasField("offset")):
            raise _malformed("it is uint8 without scale and offset")
        values = values * np.float32(tensor.scale) + np.float32(tensor.offset)
    values.flags.writeable = False
    return values


def _elements(tensor: Tensor, size: int) -> bytes:
    """The elements without compression, at most `size` bytes."""
    if not tensor.compression:
        return tensor.data
    if tensor.compression != "deflate":
        raise _malformed(f"its compression is {tensor.compression!r}, not 'deflate'")
    inflater = zlib.decompressobj()
    try:
        # One byte more than expected shows that a stream is too long, and lets a stream of the right length end.
        elements = inflater.decompress(tensor.data, size + 1)
    except zlib.error as error:
        raise _malformed(f"its data is no zlib stream ({error})") from error
    if len(elements) > size:
        raise _malformed(f"its data inflates to more than the {size} bytes of its shape {list(tensor.shape)}")
    if not inflater.eof or inflater.unused_data:
        raise _malformed("its data is not one whole zlib stream")
    return elements


def _malformed(why: str) -> InternalError:
    return malformed(f"holds a map that cannot be decoded: {why}")
