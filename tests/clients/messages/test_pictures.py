import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whybox._messages.pictures import encode
from whybox.drawing.view import scaled, seen

RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
RGBA = np.dstack([RGB, RGB[..., 0]])
GREY = RGB[..., 1]


def decoded(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (RGB, RGB),
        (RGBA, RGBA),
        (GREY, GREY),
        (RGB[::-1, ::2], RGB[::-1, ::2]),
        (RGB / 255, RGB),
        ((RGB / 255).astype(np.float32), RGB),
        (GREY / 255, GREY),
        (Image.fromarray(RGB), RGB),
        (Image.fromarray(RGBA), RGBA),
        (Image.fromarray(GREY), GREY),
        (Image.fromarray(RGB).convert("CMYK"), np.asarray(Image.fromarray(RGB).convert("CMYK").convert("RGB"))),
    ],
    ids=[
        "rgb", "rgba", "grey", "strided", "float64", "float32", "grey float",
        "pillow", "pillow rgba", "pillow grey", "cmyk",
    ],
)  # fmt: skip
def test_pictures_and_arrays_become_png_without_loss(image: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(decoded(encode(image)), expected)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_go_as_they_are(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"not even a picture")
    assert encode(kind(path)) == b"not even a picture"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_go_as_they_are(kind: type) -> None:
    assert encode(kind(b"abc")) == b"abc"


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (7, TypeError, "not builtins.int"),
        (None, TypeError, "not builtins.NoneType"),
        (RGB.astype(np.int64), TypeError, "uint8 or floats in .0, 1., not int64"),
        (GREY > 3, TypeError, "not bool"),
        (RGB.astype(float), ValueError, "divide grey levels by 255"),
        (RGB / 255 - 0.5, ValueError, "values run from -0.5"),
        (np.full((20, 20), np.nan), ValueError, "nan"),
        (RGB.transpose(2, 0, 1), ValueError, "move its channels to the end"),
        (RGB[np.newaxis], ValueError, r"not \(1, 20, 30, 3\)"),
        (RGB[..., :2], ValueError, r"not \(20, 30, 2\)"),
        (RGB[:0], ValueError, "must hold pixels"),
        (Image.new("F", (20, 20)), ValueError, "mode 'F'"),
        (b"", ValueError, "no bytes"),
        ("no/such/file.jpg", FileNotFoundError, "no/such/file.jpg"),
    ],
)
def test_what_is_no_picture_is_told(image: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        encode(image)


def rotated_jpeg() -> Image.Image:
    """Upright 40 wide, 20 high, with its left half white; stored lying on its side with the EXIF tag that says so."""
    upright = Image.new("L", (40, 20))
    upright.paste(255, (0, 0, 20, 20))
    encoded, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(encoded, format="JPEG", exif=exif, quality=95)
    return Image.open(io.BytesIO(encoded.getvalue()))


def test_pillow_pictures_are_sent_upright() -> None:
    pixels = decoded(encode(rotated_jpeg()))
    assert pixels.shape == (20, 40)
    assert pixels[:, :16].min() > 200
    assert pixels[:, 24:].max() < 50


def test_the_view_is_cut_from_the_upright_picture() -> None:
    encoded = rotated_jpeg().fp.getvalue()
    left = np.asarray(seen(encoded, (0, 0, 16, 20), None))
    assert left.shape == (20, 16, 3)
    assert left.min() > 200
    assert np.asarray(seen(encoded, (24, 0, 40, 20), 50)).max() < 50
    assert seen(encoded, None, None).size == (40, 20)


def test_fractional_boxes_keep_their_place() -> None:
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))
    pixels = np.asarray(seen(encode(ramp), (10.5, 10.5, 40.5, 40.5), None), float)[..., 0]
    # One pixel further right is 5 levels brighter, so half a pixel is 2.5.
    np.testing.assert_allclose(pixels[5], np.arange(30) * 5 + 52.5, atol=1)


def test_a_box_rounded_over_the_edge_is_cut() -> None:
    assert seen(encode(RGB), (-1e-7, 0, 20 + 1e-7, 20.0000001), 10).size == (10, 10)


@pytest.mark.parametrize(
    ("width", "height", "size", "expected"),
    [(300, 200, 150, (150, 100)), (7, 7, 224, (224, 224)), (1, 900, 90, (1, 90))],
)
def test_scaled(width: int, height: int, size: int, expected: tuple[int, int]) -> None:
    assert scaled(width, height, size) == expected


def test_sizes_are_positive() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel, not 0"):
        scaled(7, 7, 0)
