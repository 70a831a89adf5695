"""Telling encoded pictures apart by their first bytes."""

import string
import struct

from whybox.v1.errors import PictureError

_WANTED = "send one JPEG, PNG, WebP or GIF picture"
_OTHER_FORMATS = {
    (b"BM",): "a BMP picture",
    (b"II*\0", b"MM\0*"): "a TIFF picture",
    (b"\0\0\0\x0cjP  ",): "a JPEG 2000 picture",
    (b"\0\0\0\x0cJXL ", b"\xff\x0a"): "a JPEG XL picture",
    (b"%PDF",): "a PDF document",
    (b"PK\3\4",): "a ZIP archive",
    (b"data:",): "a data URL, not the bytes in it",
    (b"/9j/", b"iVBORw0KGgo", b"UklGR", b"R0lGOD"): "base64 text, not the bytes it stands for",
}
_PRINTABLE = string.printable.encode()


def format_of(image: bytes) -> str:
    """The format of an encoded picture by its signature: "JPEG", "PNG", "WebP" or "GIF".

    Raises:
        PictureError: The picture is empty or has another format; the message says which.
    """
    if not image:
        raise PictureError(f"the picture is empty; {_WANTED}", field="image")
    if image.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        return "WebP"
    if image.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    raise PictureError(f"this looks like {_other_format(image)}; {_WANTED}", field="image")


def canvas_of(image: bytes) -> tuple[int, int]:
    """Width and height in pixels that a WebP or GIF file declares.

    Raises:
        struct.error: The header is cut off.
    """
    if image.startswith(b"GIF"):
        width, height = struct.unpack_from("<HH", image, 6)
        return width, height
    chunk, body = struct.unpack_from("<4s4x10s", image, 12)
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _other_format(image: bytes) -> str:
    for signatures, name in _OTHER_FORMATS.items():
        if image.startswith(signatures):
            return name
    if image[4:8] == b"ftyp":
        return "an AVIF picture" if image[8:12] in (b"avif", b"avis") else "a HEIC picture or a video"
    start = image[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<?xml", b"<!--", b"<svg")) and b"<svg" in start:
        return "an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "text" if not start.translate(None, _PRINTABLE) else "no format that is known here"
