"""The part of an encoded picture that the model saw."""

import io

from PIL import Image, ImageOps

from whybox.arguments import integer

_MAX_SIDE = 20_000

Box = tuple[float, float, float, float]
"""(left, upper, right, lower) in pixels of the upright picture, may be fractional."""


def seen(encoded: bytes, box: Box | None, size: int | None) -> Image.Image:
    """The part of the upright picture inside `box`, in RGB.

    Args:
        encoded: Encoded picture; its EXIF orientation is obeyed.
        box: What to cut out; None for the whole picture.
        size: Length of the longer side of the result in pixels; None for the picture's own resolution.

    Raises:
        ValueError: `size` is not positive.
    """
    with Image.open(io.BytesIO(encoded)) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    if box is None:
        box = (0, 0, *upright.size)
    width, height = box[2] - box[0], box[3] - box[1]
    target = (max(1, round(width)), max(1, round(height))) if size is None else scaled(width, height, size)
    # Rounding on the wire must not push the box over the edge, which Pillow refuses.
    inside = (max(0.0, box[0]), max(0.0, box[1]), min(box[2], upright.width), min(box[3], upright.height))
    return upright.resize(target, Image.Resampling.BICUBIC, box=inside)


def scaled(width: float, height: float, size: int) -> tuple[int, int]:
    """(width, height) in whole pixels with `size` as the longer side.

    Raises:
        TypeError: `size` is no whole number.
        ValueError: `size` is out of range.
    """
    side = side_of(size)
    longer = max(width, height)
    return max(1, round(side * width / longer)), max(1, round(side * height / longer))


def side_of(size: int) -> int:
    """The argument `size` of a drawing, in pixels.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    return integer("size", size, 1, _MAX_SIDE, what=f"a number of pixels from 1 to {_MAX_SIDE}")
