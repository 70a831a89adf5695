"""Small pictures inside the page."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from PIL import Image
from pyarrow import compute, parquet

from whybox.v1.errors import PictureError

SIDE = 96
"""Length of the short side, in pixels."""

# The long side is at most twice the short one; the middle of longer pictures is shown.
_LONGEST = 2 * SIDE
_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A small picture.

    Attributes:
        address: The picture as a data URI; "" if it cannot be shown.
        width: In pixels.
        height: In pixels.
        missing: Why it cannot be shown; "" if it can.
    """

    address: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


def thumbnails(folder: Path, table: Path, files: Iterable[str]) -> dict[str, Thumbnail]:
    """The thumbnails of some pictures, by file: what was measured, or why it cannot be shown.

    Args:
        folder: Folder of the data set.
        table: The table of the pictures, which knows their digests.
        files: Their paths below the folder.
    """
    digests = _digests(table, set(files))
    return {file: _thumbnail(folder / file, digest) for file, digest in digests.items()}


def _digests(table: Path, files: set[str]) -> Mapping[str, str]:
    wanted = pa.array(sorted(files), pa.string())
    digests: dict[str, str] = {}
    with table.open("rb") as content, parquet.ParquetFile(content) as file:
        for batch in file.iter_batches(columns=["file", "sha256"]):
            found = batch.filter(compute.is_in(batch["file"], value_set=wanted))
            digests.update(zip(found["file"].to_pylist(), found["sha256"].to_pylist(), strict=True))
    return digests


def _thumbnail(path: Path, digest: str) -> Thumbnail:
    try:
        small = small_picture(path, digest)
    except UnreadableError as error:
        return Thumbnail(missing=str(error))
    return Thumbnail(f"data:image/jpeg;base64,{base64.b64encode(as_jpeg(small)).decode()}", *small.size)


class UnreadableError(Exception):
    """A picture cannot be shown; the message says why."""


def small_picture(path: Path, digest: str) -> Image.Image:
    """A picture in small.

    Args:
        path: Its file.
        digest: SHA-256 of the file when it was measured, in hexadecimal.

    Raises:
        UnreadableError: The file is gone, is no picture, or has changed.
    """
    # Imported here: a page without thumbnails does not need the library.
    from whybox_handlers.pictures.decoding import decode
    from whybox_handlers.pictures.levels import LEVELS, image

    try:
        encoded = path.read_bytes()
        if hashlib.sha256(encoded).hexdigest() != digest:
            raise UnreadableError("the file has changed since it was measured")
        pixels = decode(encoded)
    except (OSError, PictureError) as error:
        raise UnreadableError("the file can no longer be read") from error
    # Decoding gives levels, or numbers in [0, 1] for deep pictures.
    picture = image(pixels if pixels.is_floating_point() else pixels / LEVELS)
    return _small(picture)


def _small(picture: Image.Image) -> Image.Image:
    scale = SIDE / min(picture.size)
    width, height = (max(round(side * scale), SIDE) for side in picture.size)
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    left, top = max(width - _LONGEST, 0) // 2, max(height - _LONGEST, 0) // 2
    return small.crop((left, top, left + min(width, _LONGEST), top + min(height, _LONGEST)))


def as_jpeg(picture: Image.Image) -> bytes:
    """A small picture as a JPEG."""
    content = BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
