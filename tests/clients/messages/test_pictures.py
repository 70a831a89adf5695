import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from clients.answers import rotated_jpeg
from whybox._messages.pictures import encode

RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
RGBA = np.dstack([RGB, RGB[..., 0]])
GREY = RGB[..., 1]


def decoded(encoded: bytes) -> NDArray[Any]:
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
def test_pictures_and_arrays_become_png_without_loss(image: Any, expected: NDArray[Any]) -> None:
    np.testing.assert_array_equal(decoded(encode(image)), expected)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_go_as_they_are(kind: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"not even a picture")
    assert encode(kind(path)) == b"not even a picture"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_go_as_they_are(kind: Callable[[Any], Any]) -> None:
    assert encode(kind(b"abc")) == b"abc"


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (7, TypeError, "not builtins.int"),
        (None, TypeError, "not builtins.NoneType"),
        (["a.png"], TypeError, "not builtins.list"),
        (torch.zeros(3, 20, 20), TypeError, "not torch.Tensor; pass numpy.asarray of it, its channels at the end"),
        ("a\0b", ValueError, "image is no path of a file"),
        (Image.new("RGB", (0, 5)), ValueError, "must hold pixels, but its size is 0 x 5"),
        (np.array(1), ValueError, r"not \(\)"),
        (RGB.astype(object), TypeError, "not object"),
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
def test_what_is_no_picture_is_told(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        encode(image)


@pytest.mark.parametrize("mode", ["La", "PA", "RGBa"])
def test_transparency_is_kept(mode: str) -> None:
    grey = Image.fromarray(np.dstack([GREY, GREY]), "LA") if mode == "La" else Image.fromarray(RGBA)
    given = grey.convert("LA").convert(mode) if mode != "RGBa" else grey.convert(mode)
    alpha = decoded(encode(given))[..., -1]
    np.testing.assert_array_equal(alpha, np.asarray(given.getchannel("A" if mode == "PA" else "a")))


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2")])
def test_sixteen_bits_are_kept(mode: str, dtype: str) -> None:
    levels = GREY.astype(np.uint16) * 257
    given = Image.frombytes(mode, (30, 20), levels.astype(dtype).tobytes())
    np.testing.assert_array_equal(decoded(encode(given)), levels)


def test_pillow_pictures_are_sent_upright() -> None:
    pixels = decoded(encode(Image.open(io.BytesIO(rotated_jpeg()))))
    assert pixels.shape == (20, 40)
    assert pixels[:, :16].min() > 200
    assert pixels[:, 24:].max() < 50
