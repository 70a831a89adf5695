from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from whybox import Explanation, InternalError, View
from whybox._messages.pictures import encode

GREY_PICTURE = encode(np.full((60, 100), 128, np.uint8))
# The middle square of the upright 100 x 60 picture.
VIEW = View(picture_width=100, picture_height=60, left=20, top=0, width=60, height=60)


def explained(values: NDArray[Any], *, signed: bool = False, view: View | None = VIEW) -> Explanation:
    return Explanation(
        index=0,
        method="grad_cam",
        target_class=0,
        target_label="tench",
        contrast_class=None,
        contrast_label="",
        attribution=values.astype(np.float32),
        heat_map_png=None,
        overlay_png=None,
        regions=None,
        examples=None,
        observations=(),
        segmentation="",
        units="logit",
        signed=signed,
        baseline="",
        target_logit=0.0,
        baseline_logit=None,
        convergence_delta=None,
        stopped_by="done",
        residual=None,
        forward_evaluations=0,
        gradient_evaluations=0,
        quality=None,
        view=view,
        picture=GREY_PICTURE,
    )


def hot(row: int, column: int, value: float = 1.0, size: int = 6) -> NDArray[Any]:
    cells = np.zeros((size, size))
    cells[row, column] = value
    return cells


def colourfulness(picture: Image.Image) -> NDArray[Any]:
    pixels = np.asarray(picture.convert("RGB"), int)
    spread: NDArray[np.int_] = np.ptp(pixels, axis=-1)
    return spread


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 5), (2, 3), (5, 1)])
def test_a_hot_cell_appears_at_its_place(row: int, column: int, signed: bool) -> None:
    overlay = explained(hot(row, column), signed=signed).overlay(size=60)
    assert overlay.size == (60, 60)
    # Inferno's black is not quite colourless.
    colour = colourfulness(overlay).astype(float)
    colour -= colour.min()
    ys, xs = np.mgrid[:60, :60] + 0.5
    # Bilinear spreading is symmetric, except that it moves cells at the edge outwards by at most half a cell.
    assert np.average(ys, weights=colour) == pytest.approx(row * 10 + 5, abs=3)
    assert np.average(xs, weights=colour) == pytest.approx(column * 10 + 5, abs=3)
    far = np.hypot(ys - row * 10 - 5, xs - column * 10 - 5) > 20
    assert colour[far].max() == 0


@pytest.mark.parametrize(
    ("view", "size", "expected"),
    [(VIEW, None, (60, 60)), (VIEW, 224, (224, 224)), (None, None, (100, 60)), (None, 50, (50, 30))],
)
def test_overlay_size(view: View | None, size: int | None, expected: tuple[int, int]) -> None:
    assert explained(hot(1, 1), view=view).overlay(size=size).size == expected


@pytest.mark.parametrize(("size", "expected"), [(None, (7, 7)), (70, (70, 70))])
def test_heatmap_size(size: int | None, expected: tuple[int, int]) -> None:
    assert explained(hot(1, 1, size=7)).heatmap(size).size == expected


def test_signs_have_their_colours() -> None:
    red_for, blue_against = (np.asarray(explained(hot(0, 0, sign), signed=True).heatmap())[0, 0] for sign in (1, -1))
    assert red_for[0] > red_for[2]
    assert blue_against[2] > blue_against[0]
    assert np.asarray(explained(hot(0, 0), signed=True).heatmap())[3, 3].tolist() == [247, 247, 247]
    assert np.asarray(explained(hot(0, 0, -1), signed=False).heatmap()).max() <= 4, "no evidence for the class"


def test_alpha_is_checked_and_runs_from_the_picture_to_the_map() -> None:
    explanation = explained(np.ones((6, 6)))
    assert (np.asarray(explanation.overlay(0)) == 128).all()
    np.testing.assert_array_equal(np.asarray(explanation.overlay(1)), np.asarray(explanation.heatmap(60)))
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match="alpha must lie in"):
            explanation.overlay(wrong)


def test_a_failed_map_raises_its_error() -> None:
    failed = replace(explained(np.zeros((0, 0))), error=InternalError("the map went wrong"))
    for draw in (failed.overlay, failed.heatmap):
        with pytest.raises(InternalError, match="went wrong"):
            draw()


def test_a_map_without_numbers_cannot_be_drawn() -> None:
    bare = replace(explained(np.zeros((0, 0))), overlay_png=b"PNG")
    for draw in (bare.overlay, bare.heatmap):
        with pytest.raises(ValueError, match="without numbers"):
            draw()
