"""Regions of a picture: those that boxes show to the model, and random ones of equal area beside them."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from whybox import v1
from whybox.v1.views import view_of
from whybox_server.audits.criticism.pictures import Floats, Integers
from whybox_server.audits.data.boxes import Box
from whybox_server.audits.passes.changed import Rectangle

Region = tuple[Rectangle, ...]
"""Rectangles that are removed together; each has at least one pixel."""

OVERLAP = 0.5
"""A random region overlaps the boxes by at most this share of its area."""

# A region is moved in at most this number of steps along each side of the picture, to bound memory.
_STEPS = 256


class Random(NamedTuple):
    """Random regions, and whether one of them overlaps the boxes."""

    regions: tuple[Region, ...]
    overlapping: bool


def seen_part(width: int, height: int, preprocessing: v1.Preprocessing | None) -> Rectangle:
    """The part of an upright picture of width x height pixels that the model sees; all of it without preprocessing."""
    if preprocessing is None:
        return 0, 0, width, height
    view = view_of(width, height, preprocessing.resize, preprocessing.crop)
    whole = Box(view.left, view.top, view.left + view.width, view.top + view.height)
    [seen] = region_of([whole], (0, 0, width, height))
    return seen


def region_of(boxes: Sequence[Box], seen: Rectangle) -> Region:
    """What the model sees of boxes, in whole pixels; empty if they all lie outside.

    Args:
        boxes: Boxes in the upright picture; parts of pixels count as whole ones.
        seen: The part of the picture that the model sees.
    """
    left, top, right, bottom = seen
    # Places that are computed from the model's view carry rounding errors.
    clipped = (
        (
            max(math.floor(round(box.left, 6)), left),
            max(math.floor(round(box.top, 6)), top),
            min(math.ceil(round(box.right, 6)), right),
            min(math.ceil(round(box.bottom, 6)), bottom),
        )
        for box in boxes
    )
    return tuple(dict.fromkeys(each for each in clipped if each[0] < each[2] and each[1] < each[3]))


def random_regions(region: Region, seen: Rectangle, number: int, generator: np.random.Generator) -> Random:
    """Regions of the same form at random places that the model sees.

    Rectangles that overlap move together, the others by themselves, so that the area stays the same. Each place is
    drawn from those that overlap the region the least.

    Args:
        region: From `region_of`.
        seen: The part of the picture that the model sees.
        number: How many regions are drawn; equal ones count once.
        generator: Source of the randomness.

    Returns:
        No regions if each place overlaps the region by more than `OVERLAP`.
    """
    groups = sorted(_groups(region), key=_area, reverse=True)
    drawn: dict[Region, float] = {}
    for _ in range(number):
        placed: list[Rectangle] = []
        overlap = 0.0
        for group in groups:
            place = _place(group, region, placed, seen, generator)
            if place is None:
                return Random((), overlapping=False)
            moved, shared = place
            placed += moved
            overlap += shared
        drawn[tuple(placed)] = overlap / _area(region)
    if max(drawn.values()) > OVERLAP:
        return Random((), overlapping=False)
    return Random(tuple(drawn), overlapping=max(drawn.values()) > 0)


def _place(
    group: Region, region: Region, placed: Sequence[Rectangle], seen: Rectangle, generator: np.random.Generator
) -> tuple[Region, float] | None:
    """A group of rectangles moved as one, and the pixels that it shares with the region; None without any room."""
    left, top, right, bottom = seen
    first, last = min(each[0] for each in group), max(each[2] for each in group)
    upper, lower = min(each[1] for each in group), max(each[3] for each in group)
    across, down = _steps(left - first, right - last), _steps(top - upper, bottom - lower)
    shared = _overlaps(group, region, across, down)
    shared[_overlaps(group, placed, across, down) > 0] = np.inf
    least = shared.min()
    if np.isinf(least):
        return None
    row, column = np.unravel_index(generator.choice(np.flatnonzero(shared == least)), shared.shape)
    dx, dy = int(across[column]), int(down[row])
    return tuple((a + dx, b + dy, c + dx, d + dy) for a, b, c, d in group), float(least)


def _steps(first: int, last: int) -> Integers:
    """Whole numbers from first to last, evenly."""
    return np.unique(np.linspace(first, last, min(last - first + 1, _STEPS)).round().astype(np.int64))


def _overlaps(group: Region, others: Sequence[Rectangle], across: Integers, down: Integers) -> Floats:
    """[D, A]: pixels that a group shares with others, after each move down and across."""
    shared = np.zeros((len(down), len(across)))
    for left, top, right, bottom in group:
        for other in others:
            columns = np.minimum(right + across, other[2]) - np.maximum(left + across, other[0])
            rows = np.minimum(bottom + down, other[3]) - np.maximum(top + down, other[1])
            shared += np.outer(rows.clip(0), columns.clip(0))
    return shared


def _groups(region: Region) -> Iterator[Region]:
    """The rectangles that overlap, directly or through others."""
    left = list(region)
    while left:
        group, waiting = [], [left.pop()]
        while waiting:
            group.append(one := waiting.pop())
            touching = [other for other in left if _meet(one, other)]
            waiting += touching
            left = [other for other in left if other not in touching]
        yield tuple(group)


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _area(region: Region) -> int:
    """Pixels of the rectangles; those in several of them count several times."""
    return sum((right - left) * (bottom - top) for left, top, right, bottom in region)
