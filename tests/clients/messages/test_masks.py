import zlib

import numpy as np
import pytest
from PIL import Image

from whybox import InternalError
from whybox._messages.masks import decode_mask
from whybox._messages.pictures import encode

INSIDE = np.random.default_rng(0).random((20, 30)) < 0.5


def huge() -> bytes:
    """A PNG of a few hundred bytes whose header claims 50,000 x 50,000 pixels."""
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
