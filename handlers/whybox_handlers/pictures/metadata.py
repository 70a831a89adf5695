"""Encoded pictures without their metadata, which Pillow would unpack, hold in memory, and refuse the picture for.

Colour profiles, texts, thumbnails, comments and application data change no pixel here. They are cut out before Pillow
sees the file, and none of them is unpacked: neither their size nor damage in them matters. Pillow's own limits are
settings of the whole process and stay as they are. The Exif data, of which the orientation is needed, are kept beside
the picture. WebP keeps its metadata, because libwebp neither unpacks nor reads them.
"""

import re
import struct
import zlib
from typing import NamedTuple

_PNG_END = b"IEND"
_ANCILLARY = 0x20  # bit of the first letter of a chunk's name
# Bytes of tRNS by colour type of the PNG: a grey level, or a colour. A palette has up to one byte for each entry.
_KEYS = {0: 2, 2: 6}
_PALETTED = 3

_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
# What ends the data of a scan: a marker that is neither a stuffed zero nor one of the eight that restart the decoder.
_AFTER_DATA = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_NOT_FILL = re.compile(rb"[^\xff]")
_MARKERS_PER_SCAN = 10  # a scan has two tables or so before it
_APPLICATION_OR_COMMENT = (*range(0xE0, 0xF0), 0xFE)
# What tells libjpeg the colour space: marker, signature and the least length of the data.
_COLOUR_SPACES = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
_EXIF_MARKER, _EXIF = 0xE1, b"Exif\0\0"

_GIF_EXTENSION, _GIF_CONTROL, _CONTROL_LENGTH = 0x21, 0xF9, 4


class Bare(NamedTuple):
    """A picture without metadata.

    Attributes:
        image: The encoded picture.
        exif: The Exif data that were in it; empty if there were none, or for WebP.
    """

    image: bytes
    exif: bytes


def without_metadata(image: bytes, kind: str) -> Bare:
    """Cuts out what does not change the pixels.

    A PNG loses its ancillary chunks, whatever their checksums, and keeps `tRNS` as libpng does: if its checksum, length
    and place are right. An animated PNG keeps its default image alone. A JPEG loses application data and comments up to
    its first scan, and a GIF its extensions up to its first frame. Parts that cannot be read stay for the decoder.

    Args:
        image: A whole file.
        kind: Its format: "JPEG", "PNG", "WebP" or "GIF".

    Raises:
        ValueError: A critical chunk of a PNG has a wrong checksum or is cut off.
        struct.error: A PNG ends before its last chunk.
    """
    cut = {"PNG": _png, "JPEG": _jpeg, "GIF": _gif}.get(kind)
    return cut(image) if cut else Bare(image, b"")


def _png(image: bytes) -> Bare:
    view, kept, exif = memoryview(image), bytearray(image[:8]), b""
    colour_type, entries, pixels_began = -1, 0, False
    at, name = 8, b""
    while name != _PNG_END:
        length, name = struct.unpack_from(">I4s", image, at)
        end = at + 12 + length
        if end > len(image) or not name.isalpha():
            raise ValueError(f"chunk {name!r} is cut off, or is none")
        data, whole = view[at + 8 : end - 4], view[at:end]
        intact = zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(view[end - 4 : end])
        if not name[0] & _ANCILLARY:
            if not intact:
                raise ValueError(f"chunk {name!r} has a wrong checksum")
            kept += whole
        elif intact and name == b"eXIf":
            exif = bytes(data)
        elif intact and name == b"tRNS" and not pixels_began:
            fits = 1 <= length <= entries if colour_type == _PALETTED else length == _KEYS.get(colour_type)
            if fits:
                kept += whole
        if name == b"IHDR" and length == 13:
            colour_type = data[9]
        elif name == b"PLTE":
            entries = length // 3
        pixels_began |= name == b"IDAT"
        at = end
    return Bare(bytes(kept), exif)


def _jpeg(image: bytes) -> Bare:
    view, kept, exif, at = memoryview(image), bytearray(image[:2]), bytearray(), 2
    while at + 4 <= len(image) and image[at] == 0xFF:
        marker = image[at + 1]
        if marker == 0xFF:  # padding
            after = _NOT_FILL.search(image, at)
            at = after.start() - 1 if after else len(image)
            continue
        end = at + 2 + int.from_bytes(view[at + 2 : at + 4])
        if marker < 0xC0 or 0xD0 <= marker <= _START_OF_SCAN or end < at + 4 or end > len(image):
            break
        data = view[at + 4 : end]
        signature, least = _COLOUR_SPACES.get(marker, (b"", 0))
        tells_colours = bool(signature) and len(data) >= least and data[: len(signature)] == signature
        if marker not in _APPLICATION_OR_COMMENT or tells_colours:
            kept += view[at:end]
        elif marker == _EXIF_MARKER and data[: len(_EXIF)] == _EXIF:
            exif += data[len(_EXIF) :]  # data longer than a segment go on in the next
        at = end
    kept += view[at:]
    return Bare(bytes(kept), bytes(exif))


def scans_exceed(image: bytes, most: int) -> bool:
    """Whether a JPEG has more than `most` scans, or is so full of other markers that it may as well have.

    The decoder goes over the whole picture for each scan, be the JPEG progressive or not, and be the scan empty.

    Args:
        image: A JPEG as `without_metadata` leaves it. What follows its end marker does not count.
        most: At least 1.
    """
    scans = at = 0
    for _ in range(_MARKERS_PER_SCAN * most):
        found = _AFTER_DATA.search(image, at)
        if not found or image[found.end() - 1] == _END_OF_IMAGE:
            return False
        at, marker = found.end(), image[found.end() - 1]
        scans += marker == _START_OF_SCAN
        if scans > most:
            return True
        if marker >= 0xC0 and marker != _START_OF_IMAGE:  # the others have no length
            at += int.from_bytes(image[at : at + 2])
    return True


def _gif(image: bytes) -> Bare:
    if len(image) < 13:
        return Bare(image, b"")
    at = 13 + (3 * 2 << (image[10] & 7) if image[10] & 0x80 else 0)
    view = memoryview(image)
    kept = bytearray(view[:at])
    while image[at : at + 1] == bytes([_GIF_EXTENSION]):
        end = _after_blocks(image, at + 2)
        if image[at + 1 : at + 3] == bytes([_GIF_CONTROL, _CONTROL_LENGTH]):
            kept += view[at:end]
        at = end
    kept += view[at:]
    return Bare(bytes(kept), b"")


def _after_blocks(image: bytes, at: int) -> int:
    """Where a chain of blocks, each with its length before it, has ended: after the block of length 0."""
    while at < len(image) and image[at]:
        at += 1 + image[at]
    return at + 1
