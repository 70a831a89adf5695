"""Pictures, encoded for the server."""

import io
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from whybox.options import ImageInput

# Modes that PNG stores without a change.
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
# Modes by the steps to one of these that keep what the picture holds; Pillow converts the others to RGB.
_STEPS = {"La": ("LA",), "PA": ("RGBA",), "RGBa": ("RGBA",), "I;16B": ("I", "I;16"), "I;16L": ("I", "I;16")}


def encode(image: ImageInput, name: str = "image") -> bytes:
    """The picture as encoded bytes.

    Files and bytes stay as they are; pictures and arrays become PNG without loss (floats are rounded to 8 bits).

    Args:
        image: Path, encoded bytes, Pillow picture, or array of shape [height, width], [height, width, 3] or
            [height, width, 4] holding uint8 or floats in [0, 1].
        name: Name of the argument in errors.

    Raises:
        TypeError: `image` is of another type, or an array of another dtype.
        ValueError: The array has another shape or values outside [0, 1], the picture is empty or has a mode whose range
            of values is unknown, or the path is none.
        OSError: The file cannot be read.
    """
    match image:
        case str() | PathLike():
            encoded = _content(image, name)
        case bytes() | bytearray() | memoryview():
            encoded = bytes(image)
        case Image.Image():
            encoded = _png(image, name)
        case np.ndarray():
            encoded = _png(Image.fromarray(_to_bytes(image, name)), name)
        case _:
            raise _no_picture(image, name)
    if not encoded:
        raise ValueError(f"{name} must be an encoded picture, but it has no bytes")
    return encoded


def _content(path: str | PathLike[str], name: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except TypeError:  # an os.DirEntry of bytes
        raise TypeError(f"{name} must be a path of str, not {path!r}") from None
    except ValueError as error:  # for example a null character
        raise ValueError(f"{name} is no path of a file ({error}); give encoded pictures as bytes") from None


def _no_picture(given: object, name: str) -> TypeError:
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    remedy = "; pass numpy.asarray of it, its channels at the end" if hasattr(given, "__array__") else ""
    return TypeError(f"{name} must be a path, encoded bytes, a Pillow picture or a numpy array, not {kind}{remedy}")


def _png(picture: Image.Image, name: str) -> bytes:
    # A Pillow picture opened from a file keeps its EXIF orientation, which PNG would lose.
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("F", "I"):
        raise ValueError(
            f"{name} has Pillow mode {upright.mode!r}, whose range of values is unknown; convert it to 'L'"
        )
    if not (upright.width and upright.height):
        raise ValueError(f"{name} must hold pixels, but its size is {upright.width} x {upright.height}")
    if upright.mode not in _PNG_MODES:
        for mode in _STEPS.get(upright.mode, ("RGB",)):
            upright = upright.convert(mode)
    encoded = io.BytesIO()
    upright.save(encoded, format="PNG")
    return encoded.getvalue()


def _to_bytes(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        hint = "; move its channels to the end" if array.ndim == 3 and array.shape[0] in (3, 4) else ""
        raise ValueError(
            f"{name} must have shape (height, width), (height, width, 3) or (height, width, 4), not {array.shape}{hint}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must hold pixels, but its shape is {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"{name} must hold uint8 or floats in [0, 1], not {array.dtype}")
    # NaN compares false, so it is refused too.
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"{name} must hold floats in [0, 1], but its values run from {array.min():g} to {array.max():g}; "
            "divide grey levels by 255"
        )
    levels: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return levels
