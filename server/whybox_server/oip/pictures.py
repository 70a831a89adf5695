"""From the tensor of a request to encoded pictures, which is what the gateway takes; no pixel changes on the way."""

import asyncio
from io import BytesIO
from typing import cast

import numpy as np
from PIL import Image

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.oip.tensors import Array, Tensor

MAX_PICTURES = 16
"""At most how many pictures a request may have: they wait in the model's queue all at once."""

_LEVELS = 255
# Tensors come from programs on fast networks: the worker shall have little to unpack.
_PNG_EFFORT = 1


async def encoded(tensor: Tensor, model: v1.Model) -> list[bytes]:
    """The pictures of a tensor, each in a file of its own.

    Args:
        tensor: "image" [N], "pixels" [N, height, width, 3], or "view" [N, 3, crop, crop] in [0, 1].
        model: The model that is asked.

    Raises:
        InvalidRequestError: The shape is another one, there are too many pictures, or a value of a view is no level of
            8 bits: rounded, the model would answer to another picture.
    """
    crop = model.preprocessing.crop
    right = {"image": (None,), "pixels": (None, None, None, 3), "view": (None, 3, crop, crop)}[tensor.name]
    if not _matches(tensor.shape, right):
        wanted = ", ".join("-1" if size is None else str(size) for size in right)
        message = f"{tensor.name} has the shape {list(tensor.shape)}, which must be [{wanted}], with no -1 of 0"
        raise InvalidRequestError(message, field=tensor.name)
    if tensor.shape[0] > MAX_PICTURES:
        message = f"a request may have at most {MAX_PICTURES} pictures, not {tensor.shape[0]}; send several requests"
        raise InvalidRequestError(message, field=tensor.name)
    if tensor.name == "image":
        return list(cast("list[bytes]", tensor.values))
    pixels = cast("Array", tensor.values)
    # Beside the event loop: packing a large picture takes a tenth of a second.
    return await asyncio.to_thread(_pngs, _levels(pixels) if tensor.name == "view" else pixels)


def _matches(shape: tuple[int, ...], right: tuple[int | None, ...]) -> bool:
    return len(shape) == len(right) and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(shape, right, strict=True)
    )


def _levels(views: Array) -> Array:
    """8 bits of views [N, 3, crop, crop] in [0, 1], as [N, crop, crop, 3].

    Raises:
        InvalidRequestError: A value is none of 0/255 to 255/255.
    """
    levels = np.rint(views * np.float32(_LEVELS)).clip(0, _LEVELS)
    # NaN equals nothing; a worker divides by the same number in the same precision.
    exact = levels / np.float32(_LEVELS) == views
    if not exact.all():
        index = tuple(int(place) for place in np.argwhere(~exact)[0])
        message = (
            f"view{list(index)} is {float(views[index]):.9g}, which is no level of 8 bits (0/255 to 255/255); send the "
            "view in such levels, not normalised, or the picture itself as pixels or image"
        )
        raise InvalidRequestError(message, field="view")
    return levels.astype(np.uint8).transpose(0, 2, 3, 1)


def _pngs(pictures: Array) -> list[bytes]:
    """Lossless files of pictures [N, height, width, 3] of 8 bits."""
    files = []
    for picture in pictures:
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", compress_level=_PNG_EFFORT)
        files.append(file.getvalue())
    return files
