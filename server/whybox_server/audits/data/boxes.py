"""Boxes in a table: where in a picture an attribute is visible."""

import math
import re
from typing import NamedTuple


class Box(NamedTuple):
    """In pixels of the upright picture, from its top left corner; the right and lower edges are excluded."""

    left: float
    top: float
    right: float
    bottom: float


def parse_boxes(text: str) -> tuple[Box, ...]:
    """The boxes of a cell: `left top right bottom` in pixels, several of them with `;` between them.

    Args:
        text: Numbers with spaces or commas between them; "" for no box.

    Raises:
        ValueError: It is none of this; the message says what is wrong.
    """
    boxes = []
    for part in filter(None, map(str.strip, text.split(";"))):
        try:
            numbers = [float(number) for number in re.split(r"[\s,]+", part)]
        except ValueError:
            numbers = []
        if len(numbers) != len(Box._fields) or not all(map(math.isfinite, numbers)):
            raise ValueError(f"{part!r} is no box; write left top right bottom in pixels, and ; between boxes")
        box = Box(*numbers)
        if min(box) < 0:
            raise ValueError(f"{part!r} begins outside of the picture; its edges are pixels from 0")
        if not (box.left < box.right and box.top < box.bottom):
            raise ValueError(f"{part!r} is an empty box; left must be below right, and top below bottom")
        boxes.append(box)
    return tuple(boxes)
