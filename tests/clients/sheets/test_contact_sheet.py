from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from presence import present
from whybox import Analysis, contact_sheet, v1
from whybox._messages.reading import read_analysis

TILE = 200
MARGIN = 16


def tile(sheet: Image.Image, column: int) -> NDArray[Any]:
    left = MARGIN + column * (TILE + MARGIN)
    return np.asarray(sheet)[MARGIN : MARGIN + TILE, left : left + TILE]


def test_it_has_a_tile_per_map_and_per_region(analysis: Analysis) -> None:
    sheet = contact_sheet(analysis, TILE)
    assert sheet.width == MARGIN + 10 * (TILE + MARGIN), (
        "the picture, the maps that did not fail, the region found, two kinds of known pictures; "
        "the adversarial picture, its change and two maps"
    )
    cam, gradients, *_ = analysis.explanations
    region = present(present(gradients.regions).sufficient)
    for column, expected in enumerate(
        (cam.overlay(size=TILE), gradients.overlay(size=TILE), gradients.spotlight(region, TILE)), start=1
    ):
        np.testing.assert_array_equal(tile(sheet, column), np.asarray(expected))


def test_thumbnails_stand_in_rows(analysis: Analysis) -> None:
    """Two of 144 pixels do not fit beside each other into a tile of 200."""
    alike = read_analysis(v1.AnalyzeResponse(explanations=[analysis.message.explanations[3]]), analysis.picture)
    prototypes = tile(contact_sheet(alike, TILE), 1)
    red = (prototypes[..., 0] > 150) & (prototypes[..., 1] < 50)
    assert red[:90, :140].all()
    assert red[104:190, :140].all()
    assert not red[:, 150:].any()


def test_it_shows_what_changes_the_answer(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    lone = v1.AnalyzeResponse(robustness=answer.robustness)
    analysis = read_analysis(lone, picture)
    sheet = contact_sheet(analysis, TILE)
    assert sheet.width == MARGIN + 5 * (TILE + MARGIN)
    assert (tile(sheet, 1) == 150).all()
    assert (tile(sheet, 2) == 128).all()
    twin = present(present(analysis.robustness).distances[0].twin)
    for column, explanation in ((3, twin.before), (4, twin.after)):
        np.testing.assert_array_equal(tile(sheet, column), np.asarray(present(explanation).overlay(size=TILE)))


@pytest.mark.parametrize(("sent", "grey"), [(("heat_map", "overlay"), 100), (("heat_map",), 200)])
def test_maps_without_numbers_are_those_that_the_server_drew(
    answer: v1.AnalyzeResponse, picture: bytes, sent: tuple[str, ...], grey: int
) -> None:
    whole = answer.explanations[1]
    lone = v1.Explanation(method="rise", **{name: getattr(whole, name) for name in sent})
    sheet = contact_sheet(read_analysis(v1.AnalyzeResponse(explanations=[lone]), picture), TILE)
    assert (tile(sheet, 1) == grey).all()


def test_necessary_regions_are_drawn_too(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    regions = answer.explanations[1].regions
    regions.necessary.CopyFrom(regions.sufficient)
    lone = v1.AnalyzeResponse(explanations=[v1.Explanation(method="rise", regions=regions)])
    assert contact_sheet(read_analysis(lone, picture), TILE).width == MARGIN + 3 * (TILE + MARGIN)


@pytest.mark.parametrize("part", ["prediction", "explanations", "robustness", "bias", "certified"])
def test_it_does_with_any_part(answer: v1.AnalyzeResponse, picture: bytes, part: str) -> None:
    lone = v1.AnalyzeResponse(model="lite0", version="1.0")
    getattr(lone, part).MergeFrom(getattr(answer, part))
    assert contact_sheet(read_analysis(lone, picture), 100).width >= 132
