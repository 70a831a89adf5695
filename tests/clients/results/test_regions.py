import zlib

import numpy as np
import pytest
from PIL import Image

from whybox import InternalError, Region, v1
from whybox._messages.masks import decode_mask
from whybox._messages.pictures import encode
from whybox._messages.reading import read_analysis
from whybox.drawing.spotlight import light_up

INSIDE = np.random.default_rng(0).random((20, 30)) < 0.5


def huge() -> bytes:
    """A whole PNG of 50,000 x 50,000 pixels in a few hundred bytes, but for its pixels."""
    small = encode(Image.new("1", (1, 1)))
    header = b"IHDR" + (50_000).to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    return small[:12] + header + zlib.crc32(header).to_bytes(4) + small[33:]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_white_is_inside(mode: str) -> None:
    mask = decode_mask(encode(Image.fromarray(INSIDE.astype(np.uint8) * 255).convert(mode)))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, INSIDE)
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = True


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (b"", "cannot identify"),
        (b"GIF89a", "cannot identify"),
        (encode(Image.fromarray(INSIDE))[:60], "mask that cannot be decoded"),
        (encode(Image.new("1", (5000, 1))), "5000 x 1 pixels"),
        (huge(), "pixels"),
    ],
    ids=["nothing", "no PNG", "cut off", "too wide", "a bomb"],
)
def test_other_masks_are_told(encoded: bytes, words: str) -> None:
    with pytest.raises(InternalError, match=words) as caught:
        decode_mask(encoded)
    assert caught.value.reason == "MALFORMED_ANSWER"


def regions(answer: v1.AnalyzeResponse, picture: bytes):
    return read_analysis(answer, picture).explanations[1]


def test_the_box_is_that_of_the_mask(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    region = regions(answer, picture).regions.sufficient
    assert region.found
    assert Image.fromarray(region.mask).getbbox() == region.box
    assert region.mask.mean() == region.area


@pytest.mark.parametrize("state", ["not_found", "not_held"])
def test_what_was_not_found_is_empty(answer: v1.AnalyzeResponse, picture: bytes, state: str) -> None:
    answer.explanations[1].regions.necessary.state = state
    explanation = regions(answer, picture)
    region: Region = explanation.regions.necessary
    assert not region.found
    assert region.mask.shape == (0, 0)
    assert (region.target, region.predicted) == (None, None)
    with pytest.raises(ValueError, match=state):
        explanation.spotlight(region)


def test_only_the_inside_keeps_its_colours() -> None:
    picture = Image.new("RGB", (60, 40), (200, 40, 40))
    inside = np.zeros((4, 6), bool)
    inside[1:3, 2:5] = True
    lit = np.asarray(light_up(picture, inside), int)
    assert (lit[14:26, 24:46] == (200, 40, 40)).all()
    outside = np.ones((40, 60), bool)
    outside[10:30, 20:50] = False
    assert np.ptp(lit[outside], axis=-1).max() == 0, "grey"
    assert lit[outside].max() < 60, "dark"
    assert (lit[10, 20:50] == lit[10, 20]).all()
    assert lit[10, 20].tolist() not in ([200, 40, 40], lit[0, 0].tolist()), "outlined"


def test_the_spotlight_lies_over_the_view(answer: v1.AnalyzeResponse, picture: bytes) -> None:
    explanation = regions(answer, picture)
    region = explanation.regions.sufficient
    assert explanation.spotlight(region).size == (43, 43)
    colours = np.ptp(np.asarray(explanation.spotlight(region, 120), int), axis=-1)
    assert colours[60:, :60].mean() > 20
    assert colours[:60].max() == colours[:, 60:].max() == 0
