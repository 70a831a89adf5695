"""Forest plots: marks stand where their numbers are, and differ by form."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from whybox.drawing.forest import Panel, Row, forest

BLUE, RED = np.array([31, 78, 121]), np.array([176, 58, 46])


def drawn(*rows: Row, signed: bool = False, size: int = 1000) -> Image.Image:
    return forest([Panel("Axis", rows, filled="a", hollow="b", other="c", signed=signed)], ["Title"], ["Foot"], size)


def columns(image: Image.Image, colour: NDArray[np.int64], row: int = 0) -> NDArray[np.int64]:
    """The columns in which a row of the only panel has pixels of a colour."""
    # Title and its margin, title of the panel, then rows of 34 pixels.
    top = 18 + 25 + 9 + 27 + 34 * row
    pixels = np.asarray(image, np.int64)[top : top + 34]
    return np.flatnonzero((np.abs(pixels - colour).max(axis=-1) < 40).any(axis=0))


@pytest.mark.parametrize("size", [640, 1000, 2000])
def test_numbers_are_places_on_one_axis(size: int) -> None:
    """Intervals of equal width are equally wide, and lie as far apart as their numbers."""
    image = drawn(Row("one", 0.2, 0.1, 0.3), Row("two", 0.6, 0.5, 0.7), Row("three", 0.9, 0.8, 1.0), size=size)
    assert image.width == size
    ends = np.array([columns(image, BLUE, row)[[0, -1]] for row in range(3)])
    widths = ends[:, 1] - ends[:, 0]
    np.testing.assert_allclose(widths, widths[0], atol=2)
    # 0.1 to 0.3 is 0.2 wide, and 0.5 lies 0.4 from 0.1.
    np.testing.assert_allclose(ends[1, 0] - ends[0, 0], 2 * widths[0], atol=4)
    np.testing.assert_allclose(ends[2, 0] - ends[1, 0], 1.5 * widths[0], atol=4)


def test_the_axis_of_differences_has_0_in_the_middle() -> None:
    image = drawn(Row("below", -0.4, -0.5, -0.3), Row("above", 0.4, 0.3, 0.5), signed=True)
    below, above = columns(image, BLUE, 0), columns(image, BLUE, 1)
    middle = (below.mean() + above.mean()) / 2
    np.testing.assert_allclose(below[-1] - middle, -(above[0] - middle), atol=3)
    assert below[-1] < above[0]


def test_marks_differ_without_colour() -> None:
    """A filled mark, a hollow one, and a diamond, in grey."""
    rows = (Row("a", 0.5, 0.5, 0.5), Row("a", 0.5, 0.5, 0.5, filled=False))
    filled, hollow = (np.asarray(drawn(row).convert("L"), np.int64)[79:113, 380:] for row in rows)
    # A hollow mark is white where a filled one is dark, and nowhere darker.
    assert (hollow - filled).max() > 150
    assert (hollow >= filled - 20).all()
    assert columns(drawn(Row("a", 0.5, 0.4, 0.6)), RED).size == 0
    beside = columns(drawn(Row("a", 0.5, 0.4, 0.6, other=0.9)), RED)
    assert 8 <= beside[-1] - beside[0] <= 18


def test_panels_without_rows_are_left_out() -> None:
    one = Panel("One", [Row("a", 0.5, 0.4, 0.6)], filled="x")
    none = Panel("None", [], filled="x")
    images = [forest(panels, ["T"], [], 800) for panels in ([one], [none, one, none])]
    assert images[0].tobytes() == images[1].tobytes()
    assert forest([none], ["T"], [], 800).height < images[0].height


@pytest.mark.parametrize("name", ["", "x" * 400, "many words " * 60])
def test_names_of_any_length_keep_to_their_room(name: str) -> None:
    image = drawn(Row(name, 0.5, 0.4, 0.6), Row("b", 0.5, 0.4, 0.6), size=640)
    plain = drawn(Row("", 0.5, 0.4, 0.6), Row("b", 0.5, 0.4, 0.6), size=640)
    # Beyond the names nothing changes.
    right = int(0.38 * 640)
    assert np.array_equal(np.asarray(image)[:, right:], np.asarray(plain)[:, right:])


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9])
def test_intervals_of_no_width(value: float) -> None:
    assert columns(drawn(Row("a", value, value, value)), BLUE).size


@pytest.mark.parametrize(
    ("size", "error"), [(639, ValueError), (8001, ValueError), ("wide", TypeError), (None, TypeError)]
)
def test_sizes_that_are_none(size: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="a width of 640 to 8000 pixels"):
        forest([], [], [], size)  # type: ignore[arg-type]
