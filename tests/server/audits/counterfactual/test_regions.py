"""Boxes as the model sees them, and random regions of equal area beside them."""

import numpy as np
import pytest

from whybox import v1
from whybox_server.audits.counterfactual.regions import OVERLAP, Region, random_regions, region_of, seen_part
from whybox_server.audits.data.boxes import Box
from whybox_server.audits.passes.changed import Rectangle

WHOLE = (0, 0, 40, 30)
DRAWS = 20


def pixels(region: Region) -> set[tuple[int, int]]:
    return {(x, y) for left, top, right, bottom in region for x in range(left, right) for y in range(top, bottom)}


@pytest.mark.parametrize(
    ("width", "height", "resize", "crop", "seen"),
    [
        (256, 256, 256, 224, (16, 16, 240, 240)),
        (512, 256, 256, 224, (144, 16, 368, 240)),
        (128, 256, 256, 224, (8, 72, 120, 184)),
        (16, 16, 16, 16, (0, 0, 16, 16)),
    ],
)
def test_what_the_model_sees(width: int, height: int, resize: int, crop: int, seen: Rectangle) -> None:
    assert seen_part(width, height, v1.Preprocessing(resize=resize, crop=crop)) == seen
    assert seen_part(width, height, None) == (0, 0, width, height)


@pytest.mark.parametrize(
    ("boxes", "region"),
    [
        ([Box(1, 2, 3, 4)], ((1, 2, 3, 4),)),
        # Parts of pixels count.
        ([Box(1.2, 2.9, 3.1, 4)], ((1, 2, 4, 4),)),
        # At the edge, and beyond it.
        ([Box(38, 28, 40, 30)], ((38, 28, 40, 30),)),
        ([Box(30, 20, 400, 300)], ((30, 20, 40, 30),)),
        ([Box(0, 0, 400, 300)], (WHOLE,)),
        ([Box(40, 0, 50, 30)], ()),
        # The same box twice, one outside, and another one.
        ([Box(1, 2, 3, 4), Box(1, 2, 3, 4), Box(50, 0, 60, 9), Box(5, 5, 6, 6)], ((1, 2, 3, 4), (5, 5, 6, 6))),
    ],
)
def test_regions_of_boxes(boxes: list[Box], region: Region) -> None:
    assert region_of(boxes, WHOLE) == region


@pytest.mark.parametrize(
    "region",
    [
        ((10, 10, 20, 20),),
        # At an edge and in a corner.
        ((0, 10, 8, 20),),
        ((32, 22, 40, 30),),
        # Several boxes, apart and overlapping.
        ((0, 0, 6, 6), (30, 20, 36, 28)),
        ((2, 2, 10, 10), (6, 6, 14, 12), (30, 0, 34, 4)),
        # One pixel.
        ((39, 29, 40, 30),),
        # Half of the picture: one place is left.
        ((0, 0, 20, 30),),
    ],
)
def test_random_regions_have_the_area_and_lie_beside_the_boxes(region: Region) -> None:
    drawn = random_regions(region, WHOLE, DRAWS, np.random.default_rng(0))
    assert not drawn.overlapping
    assert len(set(drawn.regions)) == len(drawn.regions)
    for other in drawn.regions:
        assert len(pixels(other)) == len(pixels(region))
        assert pixels(other) <= pixels((WHOLE,))
        assert not pixels(other) & pixels(region)
    assert drawn == random_regions(region, WHOLE, DRAWS, np.random.default_rng(0))


def test_places_are_spread() -> None:
    drawn = random_regions(((18, 13, 22, 17),), WHOLE, 200, np.random.default_rng(0))
    columns, rows = np.array([region[0][:2] for region in drawn.regions]).T
    assert (columns.min(), columns.max()) == (0, 36)
    assert (rows.min(), rows.max()) == (0, 26)
    assert len(drawn.regions) > 150


@pytest.mark.parametrize(
    ("region", "shared"),
    [
        # 24 of 40 columns: 8 are shared at the least.
        (((0, 0, 24, 30),), 8 / 24),
        (((0, 0, 40, 20),), 10 / 20),
        # More than a half, and all.
        (((0, 0, 28, 30),), None),
        ((WHOLE,), None),
        # In the middle no place is as good as at an edge.
        (((10, 0, 30, 30),), 10 / 20),
        # Apart from one another there is no room.
        (((0, 0, 20, 30), (21, 0, 40, 30)), None),
    ],
)
def test_large_boxes(region: Region, shared: float | None) -> None:
    drawn = random_regions(region, WHOLE, DRAWS, np.random.default_rng(0))
    if shared is None:
        assert drawn == ((), False)
        return
    assert drawn.overlapping
    for other in drawn.regions:
        assert len(pixels(other) & pixels(region)) == pytest.approx(shared * len(pixels(region)))
        assert shared <= OVERLAP


def test_a_large_picture() -> None:
    whole = (0, 0, 9000, 5000)
    drawn = random_regions(((100, 100, 1300, 900),), whole, 5, np.random.default_rng(0))
    assert len(drawn.regions) == 5
    for [(left, top, right, bottom)] in drawn.regions:
        assert (right - left, bottom - top) == (1200, 800)
        assert left >= 0
        assert right <= 9000
        assert top >= 0
        assert bottom <= 5000
        assert left >= 1300 or top >= 900
