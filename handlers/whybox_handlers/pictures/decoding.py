"""Encoded bytes become what a model sees: `decode` makes the upright picture, `preprocess` the part the model looks at.

Pillow decodes every format. `torchvision.io` was measured against it and left out: its decoders are deprecated and warn
at every call; `decode_png` kills the process on some damaged files and ignores the transparent colour of grey and RGB
pictures; `decode_webp` refuses animations; `decode_jpeg` gives the same pixels as Pillow, a quarter of a millisecond
sooner for a photograph of 500 x 375, but writes its complaints about strangers' files to stderr. Colour profiles are
not applied: models are trained on pixels as they are stored.

Metadata are cut out first (see `metadata`), so that neither their size nor damage in them refuses a picture.

Bytes come from strangers. Formats are told apart by signature, not by asking each of Pillow's plugins, and a picture's
size is checked before memory is taken for it. The plugins are called directly, because `PIL.Image.open` warns of large
pictures, and Python's warning filters cannot be changed for one thread alone.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, TiffTags
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch.nn.functional import interpolate

from whybox.v1.errors import PictureError, PictureTooLargeError
from whybox.v1.prediction_pb2 import View
from whybox.v1.views import placement, view_of
from whybox_handlers.pictures.formats import canvas_of, format_of
from whybox_handlers.pictures.levels import LEVELS
from whybox_handlers.pictures.metadata import scans_exceed, without_metadata

MAX_PIXELS = 50_000_000
MIN_SIDE = 16
MAX_ASPECT = 20
MAX_SCANS = 100

_STRIP_PIXELS = 1 << 18  # one megabyte in Pillow's memory: a strip stays in the processor's cache while it is copied
# What remains of each EXIF orientation once 5 to 8 have had rows and columns swapped: the dimensions to be flipped.
_FLIPS = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}
# PNG's transparent grey is given in the file's own 2 or 4 bits, which Pillow widens in the pixels but not in the key.
_GREY_WIDENING = {"L;2": 85, "L;4": 17}
_DEEP = ("I;16B", "LA;16B", "RGB;16B", "RGBA;16B")  # Pillow's raw modes of PNGs with 16 bits a sample


_PLUGINS: dict[str, Callable[[BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
}


def decode(image: bytes) -> torch.Tensor:
    """Decodes one picture as a person would see it on white paper: upright, transparency composited over white.

    An animation is decoded to its first frame, an animated PNG with a separate default image to that image. Metadata
    have no influence beyond the Exif orientation: profiles and texts of any size, and damaged ones, are passed over. A
    JPEG must have its end marker (FF D9): without it a picture that lost its lower part could pass for a whole one.
    Bytes after the end do not matter.

    Args:
        image: A whole JPEG, PNG, WebP or GIF file.

    Returns:
        RGB picture of shape [3, height, width]: uint8 in [0, 255], or float32 in [0, 1] (sample / 65535) for a PNG with
        16 bits a sample. The same bytes give the same tensor, in any thread.

    Raises:
        PictureTooLargeError: The picture has more than `MAX_PIXELS` pixels.
        PictureError: It is empty, of another format, truncated or damaged (as by a wrong checksum in a critical chunk
            of a PNG), shorter than `MIN_SIDE` pixels on a side,
            a JPEG with more than `MAX_SCANS` scans, or its long side is more than `MAX_ASPECT` times its short one.
    """
    kind = format_of(image)
    try:
        if kind in ("WebP", "GIF"):  # these plugins take memory for the picture as soon as they are opened
            _check_size(canvas_of(image))
        image, exif = without_metadata(image, kind)
        picture = _PLUGINS[kind](BytesIO(image))
        _check_size(picture.size)
        # A scan of ten bytes makes the decoder go over the whole picture again; photographs have about ten of them.
        if kind == "JPEG" and scans_exceed(image, MAX_SCANS):
            raise PictureError(f"the JPEG picture has more than {MAX_SCANS} scans; save it anew", field="image")
        rawmode = str(picture.tile[0].args) if kind == "PNG" else ""
        pixels = _deep_pixels(picture, rawmode, image) if rawmode in _DEEP else _pixels(picture, rawmode)
        return _upright(pixels, _orientation(exif or picture.info.get("exif", b"")))
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Only a GIF whose first frame is much larger than its canvas comes here.
        message = f"the picture has too many pixels; send one with at most {MAX_PIXELS} in all"
        raise PictureTooLargeError(message, field="image") from error
    except Exception as error:  # Pillow's plugins raise more kinds of exceptions than they document
        raise PictureError(f"the {kind} picture is truncated or damaged; send the whole file", field="image") from error


def preprocess(picture: torch.Tensor, resize: int, crop: int) -> tuple[torch.Tensor, View]:
    """Resizes the short side (bicubic, antialiased) and cuts out the centre, as the models' training did.

    An 8-bit picture is rounded to 8 bits after resizing, as Pillow does; a float32 picture keeps its precision.

    Args:
        picture: Upright picture from `decode`, of shape [3, height, width].
        resize: Length of the short side after resizing, in pixels.
        crop: Side of the square cut out of it, in pixels; at most `resize`.

    Returns:
        The model's input, float32 of shape [3, crop, crop] in [0, 1], and the box of the picture that it shows.

    Raises:
        ValueError: `crop` is not between 1 and `resize`.
    """
    if not 1 <= crop <= resize:
        raise ValueError(f"crop must be between 1 and resize ({resize}), not {crop}")
    height, width = picture.shape[-2:]
    rows, columns, top, left = placement(width, height, resize, crop)
    resized = interpolate(picture[None], size=(rows, columns), mode="bicubic", antialias=True)[0]
    seen = resized[:, top : top + crop, left : left + crop].to(torch.float32, memory_format=torch.contiguous_format)
    # Bicubic interpolation overshoots at edges; 8-bit pictures are already clamped by rounding.
    seen = seen.div_(LEVELS) if picture.dtype == torch.uint8 else seen.clamp(0, 1)
    return seen, view_of(width, height, resize, crop)


def as_view(picture: torch.Tensor, crop: int) -> tuple[torch.Tensor, View]:
    """Takes a picture for the view itself: no pixel changes.

    Args:
        picture: Upright picture from `decode`, of shape [3, height, width].
        crop: Side of the model's view, in pixels.

    Returns:
        The model's input, float32 of shape [3, crop, crop] in [0, 1], and the box around the whole picture.

    Raises:
        PictureError: The picture has another size.
    """
    height, width = picture.shape[-2:]
    if (width, height) != (crop, crop):
        raise PictureError(
            f"the picture has {width} x {height} pixels, but the model's view has {crop} x {crop}; send one of this "
            "size, or leave view out, so that the picture is resized and cropped",
            field="image",
        )
    seen = picture.to(torch.float32, memory_format=torch.contiguous_format)
    if picture.dtype == torch.uint8:
        seen = seen / LEVELS
    return seen, View(picture_width=width, picture_height=height, width=width, height=height)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    problem = f"the picture has {width} x {height} pixels; send one with"
    if width * height > MAX_PIXELS:
        raise PictureTooLargeError(f"{problem} at most {MAX_PIXELS} in all", field="image")
    if min(size) < MIN_SIDE:
        raise PictureError(f"{problem} at least {MIN_SIDE} on each side", field="image")
    if max(size) > MAX_ASPECT * min(size):
        raise PictureError(f"{problem} a long side of at most {MAX_ASPECT} times the short one", field="image")


def _pixels(picture: ImageFile, rawmode: str) -> torch.Tensor:
    """Pixels over white, uint8 [3, height, width], each pixel's channels side by side in memory, as resizing likes."""
    rgb: Image.Image = picture
    if picture.has_transparency_data:
        if rawmode in _GREY_WIDENING:
            picture.info["transparency"] *= _GREY_WIDENING[rawmode]
        white = Image.new("RGBA", picture.size, "white")
        rgb = Image.alpha_composite(white, picture.convert("RGBA"))
    if rgb.mode != "RGB":
        rgb = rgb.convert("RGB")
    # Strip by strip, because a copy in one go passes through three buffers: 20 ms instead of 56 for 12 megapixels.
    pixels = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for rows, strip in _strips([rgb]):
        pixels[rows] = strip
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _deep_pixels(picture: ImageFile, rawmode: str, image: bytes) -> torch.Tensor:
    """Pixels of a PNG with 16 bits a sample over white, float32 [3, height, width] in [0, 1].

    By default Pillow keeps only the high bytes, except of opaque grey samples; it can be told to unpack others. Samples
    become floats strip by strip: at once they would take 3 GB for the largest picture.
    """
    if rawmode == "I;16B":
        unpacked = [_unpack(picture, rawmode)]
    elif rawmode == "LA;16B":  # four bytes a pixel, which pass for one 8-bit RGBA pixel
        unpacked = [_unpack(picture, "RGBA")]
    else:  # "16B" unpacks the first byte of each sample, "16L" the second
        low = _unpack(PngImageFile(BytesIO(image)), rawmode.replace("16B", "16L"))
        unpacked = [_unpack(picture, rawmode), low]
    pixels = torch.empty(3, picture.height, picture.width)
    for rows, *strips in _strips(unpacked):
        if rawmode == "I;16B":
            samples = strips[0][:, :, None]
        elif rawmode == "LA;16B":
            samples = strips[0].view(">u2")
        else:
            samples = strips[0].astype(np.uint16) << 8 | strips[1]
        levels = torch.from_numpy(samples.astype(np.float32)).permute(2, 0, 1).div_(65535)
        if rawmode in ("LA;16B", "RGBA;16B"):
            levels, alpha = levels[:-1], levels[-1:]
            levels = levels * alpha + (1 - alpha)
        elif (key := picture.info.get("transparency")) is not None:
            levels.masked_fill_(torch.from_numpy((samples == np.array(key)).all(-1)), 1)
        pixels[:, rows] = levels
    return pixels


def _unpack(picture: ImageFile, rawmode: str) -> Image.Image:
    """Loads a picture as if its bytes were in Pillow's raw mode `rawmode`."""
    picture.tile = [picture.tile[0]._replace(args=rawmode)]
    picture.load()
    return picture


def _strips(pictures: Sequence[Image.Image]) -> Iterator[tuple[Any, ...]]:
    """Rows of pictures of one size, from the top: a slice of them, and of each picture [rows, width(, channels)]."""
    width, height = pictures[0].size
    count = _STRIP_PIXELS // width
    for top in range(0, height, count):
        bottom = min(top + count, height)
        yield slice(top, bottom), *(np.asarray(picture.crop((0, top, width, bottom))) for picture in pictures)


def _orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8; 1, which is upright, if it is missing or the EXIF data are damaged.

    Pillow's own reader warns of damaged data, and reads every tag.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, value = struct.unpack_from(f"{order}HH4xH", tiff, entry)
            if tag == ExifTags.Base.Orientation:
                return value if kind == TiffTags.SHORT and 1 <= value <= 8 else 1
    except struct.error:  # the data end too early
        pass
    return 1


def _upright(pixels: torch.Tensor, orientation: int) -> torch.Tensor:
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    return pixels.flip(_FLIPS[orientation]) if orientation in _FLIPS else pixels
