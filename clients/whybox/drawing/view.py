"""The part of an encoded picture that the model saw."""

import io

from PIL import Image, ImageOps

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
        ValueError: `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    longer = max(width, height)
    return max(1, round(size * width / longer)), max(1, round(size * height / longer))
