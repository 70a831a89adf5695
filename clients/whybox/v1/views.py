"""Which part of a picture a model sees: the worker cuts it out, and an audit asks whether a box lies in it."""

from typing import NamedTuple

from whybox.v1.prediction_pb2 import View


class Placement(NamedTuple):
    """The size of a picture after resizing, and the corner of the square cut out of it; all in pixels."""

    rows: int
    columns: int
    top: int
    left: int


def placement(width: int, height: int, resize: int, crop: int) -> Placement:
    """Where the centre of an upright picture of width x height pixels comes to lie.

    Args:
        width: Width of the picture, in pixels.
        height: Its height.
        resize: Length of its short side after resizing, in pixels.
        crop: Side of the square cut out of its centre, in pixels; at most `resize`.
    """
    short = min(height, width)
    rows, columns = height * resize // short, width * resize // short
    return Placement(rows, columns, round((rows - crop) / 2), round((columns - crop) / 2))


def view_of(width: int, height: int, resize: int, crop: int) -> View:
    """The box of the upright picture that the model sees; the arguments are those of `placement`."""
    rows, columns, top, left = placement(width, height, resize, crop)
    return View(
        picture_width=width,
        picture_height=height,
        left=left * width / columns,
        top=top * height / rows,
        width=crop * width / columns,
        height=crop * height / rows,
    )
