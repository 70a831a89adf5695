"""Pictures that strangers may send, and what becomes of each: written down before they are decoded, but for four.

JPEG without Huffman tables, GIF of no size, PNG of 4,294,967,295 x 1 and PNG with two headers say what the decoder did
at first, which was found right.

Each is made here, byte by byte where no library writes such a file. Either it is taken, and then looks as another file
does, or it is refused with a reason. Large ones are made when they are asked for, not at import.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

Pixels = npt.NDArray[np.uint8]
SIZE = WIDTH, HEIGHT = 60, 40
MEGABYTE = 2**20


def encoded(picture: Pixels | Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file of this kind."""
    buffer = BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def _scene() -> Pixels:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    scene: Pixels = np.stack([4 * x, 6 * y, 250 - 2 * x - 3 * y], -1).astype(np.uint8)
    return scene


SCENE = _scene()
ALPHA: Pixels = np.broadcast_to(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, WIDTH))
FRAME = Image.new("RGB", SIZE, "teal")
PNG, JPEG, GIF = (encoded(SCENE, kind) for kind in ("PNG", "JPEG", "GIF"))
WEBP = encoded(SCENE, "WEBP", lossless=True)
PROGRESSIVE = encoded(SCENE, "JPEG", progressive=True)
_SIGNATURE = PNG[:8]
# Where the first extension or picture of the GIF begins: after the header and the palette.
_GIF_BODY = 13 + (3 * 2 << (GIF[10] & 7))
SCRIPT = b"<script>alert(1)</script>"


def chunk(name: bytes, data: bytes, *, length: int | None = None) -> bytes:
    """A chunk of a PNG, which may lie about its length."""
    said = len(data) if length is None else length
    return struct.pack(">I", said) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, depth: int = 8, colours: int = 2, *further: int) -> bytes:
    """The first chunk of a PNG; further are compression, filter and interlace."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, *(further or (0, 0, 0))))


def png(*chunks: bytes) -> bytes:
    """A PNG of these chunks, and its end."""
    return _SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


def filtered(samples: npt.NDArray[Any]) -> bytes:
    """Each row of pixels after its filter byte, as a PNG compresses them."""
    return b"".join(b"\0" + row.tobytes() for row in samples)


def rows(samples: npt.NDArray[Any]) -> bytes:
    """The pixel data of a PNG."""
    return chunk(b"IDAT", zlib.compress(filtered(samples)))


def black(height: int, row_bytes: int) -> bytes:
    """The pixel data of a PNG without a bit."""
    return chunk(b"IDAT", zlib.compress(bytes((1 + row_bytes) * height), 1))


def in_png(*chunks: bytes) -> bytes:
    """The plain PNG with these chunks after its first."""
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def with_bomb(name: bytes, start: bytes, size: int) -> bytes:
    """The plain PNG with a compressed chunk that unpacks to `size` bytes."""
    return in_png(chunk(name, start + zlib.compress(bytes(size), 1)))


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def in_jpeg(*inserted: bytes) -> bytes:
    """The plain JPEG with these bytes after its first marker."""
    return JPEG[:2] + b"".join(inserted) + JPEG[2:]


def in_gif(extension: bytes) -> bytes:
    """The plain GIF with this extension before its frame."""
    return b"GIF89a" + GIF[6:_GIF_BODY] + extension + GIF[_GIF_BODY:]


def blocks(data: bytes) -> bytes:
    """Data of a GIF's extension."""
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def with_sof(jpeg: bytes, name: int = 0xC0, **fields: int) -> bytes:
    """A JPEG with another start of frame: its marker, `precision`, `height`, `width`, `components` or `sampling`."""
    at = jpeg.index(b"\xff\xc0")
    changed = bytearray(jpeg)
    changed[at + 1] = name
    places = {"precision": (4, 1), "height": (5, 2), "width": (7, 2), "components": (9, 1), "sampling": (11, 1)}
    for field, value in fields.items():
        start, length = places[field]
        changed[at + start : at + start + length] = value.to_bytes(length)
    return bytes(changed)


def many_scans(count: int, side: int) -> bytes:
    """A sequential JPEG whose scans are empty: each has one component, and each makes the decoder go over all of it."""
    small = encoded(np.zeros((16, 16, 3), np.uint8), "JPEG", subsampling=0)
    start = with_sof(small[: small.index(b"\xff\xda")], height=side, width=side)
    scans = (bytes([1, each % 3 + 1, 0x11 * (each % 3 > 0), 0, 63, 0]) for each in range(count))
    return start + b"".join(segment(0xDA, scan) for scan in scans) + b"\xff\xd9"


def more_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times."""
    last = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:last] + PROGRESSIVE[last:-2] * count + b"\xff\xd9"


def lossless_jpeg() -> bytes:
    """Process 14 of the standard: each grey sample as its difference from the one on its left, without any loss."""
    levels = SCENE[..., 0].astype(int)
    before = np.hstack([np.vstack([[[128]], levels[:-1, :1]]), levels[:, :-1]])
    bits = ""
    for difference in (levels - before).ravel():
        category = int(abs(difference)).bit_length()
        value = int(difference) + ((1 << category) - 1 if difference < 0 else 0)
        # Nine codes of four bits each: the categories in their order.
        bits += f"{category:04b}" + (f"{value:0{category}b}" if category else "")
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    return (
        b"\xff\xd8"
        + segment(0xC3, struct.pack(">BHHBBBB", 8, HEIGHT, WIDTH, 1, 1, 0x11, 0))
        + segment(0xC4, b"\0" + bytes([0, 0, 0, 9]) + bytes(12) + bytes(range(9)))
        + segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
        + data
        + b"\xff\xd9"
    )


def oriented(kind: str, value: int, **options: Any) -> bytes:
    """The scene with an Exif orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return encoded(SCENE, kind, exif=exif, **options)


def turned(value: int) -> bytes:
    """The scene as a person sees it with this Exif orientation, in a PNG without any."""
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(value)
    picture = Image.fromarray(SCENE)
    return encoded(picture if turn is None else picture.transpose(turn), "PNG")


def ycck() -> bytes:
    """CMYK whose marker of Adobe says YCCK."""
    inks = encoded(Image.fromarray(SCENE).convert("CMYK"), "JPEG")
    transform = inks.index(b"Adobe") + 11
    return inks[:transform] + b"\2" + inks[transform + 1 :]


def tiff(entries: bytes, *, following: int, count: int) -> bytes:
    """A TIFF with one directory, and the place of the one after it."""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + struct.pack("<I", following)


def webp_of(width: int, height: int) -> bytes:
    """A lossless WebP that says it has this size."""
    changed = bytearray(WEBP)
    at = WEBP.index(b"VP8L") + 9
    changed[at : at + 4] = ((width - 1) | (height - 1) << 14 | (changed[at + 3] >> 4) << 28).to_bytes(4, "little")
    return bytes(changed)


def webp_with(name: bytes, data: bytes) -> bytes:
    """A lossless WebP with a further chunk."""
    picture = encoded(SCENE, "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    body = picture[12:] + name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def gif_of(width: int, height: int) -> bytes:
    """A GIF whose canvas has another size than its frame."""
    return GIF[:6] + struct.pack("<HH", width, height) + GIF[10:]


def animated(kind: str, frames: int, **options: Any) -> bytes:
    """An animation that begins with the scene."""
    others = [Image.new("RGB", SIZE, (each % 256, each // 256, 7)) for each in range(frames - 1)]
    return encoded(SCENE, kind, save_all=True, append_images=others, **options)


@dataclass(frozen=True)
class Hostile:
    """One file.

    Attributes:
        make: Makes it.
        looks: Another file that looks exactly alike; empty if none has to.
        reason: Of the refusal; empty if the file is taken.
        words: What the refusal says among other things.
    """

    make: Callable[[], bytes]
    looks: bytes = b""
    reason: str = ""
    words: str = ""


def like(plain: bytes, make: bytes | Callable[[], bytes]) -> Hostile:
    """It is taken, and every pixel is that of another file."""
    return Hostile(make if callable(make) else lambda: make, looks=plain)


def taken(make: bytes | Callable[[], bytes]) -> Hostile:
    """It is taken; what it looks like is no business of this table."""
    return Hostile(make if callable(make) else lambda: make)


def refused(make: bytes | Callable[[], bytes], words: str, reason: str = "BAD_PICTURE") -> Hostile:
    """It is refused."""
    return Hostile(make if callable(make) else lambda: make, reason=reason, words=words)


def too_large(make: bytes | Callable[[], bytes]) -> Hostile:
    """It is refused by its size, before memory is taken for its pixels."""
    return refused(make, "at most 50000000 in all", "PICTURE_TOO_LARGE")


CUT = {
    f"{kind} cut at {place}": refused(whole[:length], f"the {kind} picture is truncated or damaged")
    for kind, whole in (("JPEG", JPEG), ("PNG", PNG), ("WebP", WEBP), ("GIF", GIF))
    for place, length in (
        ("its signature", 12 if kind == "WebP" else 8),
        ("its header", 20),
        ("a tenth", len(whole) // 10 + 20),
        ("half", len(whole) // 2),
        # A GIF whose frame is complete needs no end.
        ("nine tenths", len(whole) * 9 // 10),
    )
} | {
    f"{name} cut": refused(encoded(SCENE, kind)[:length], f"looks like a {name} picture")
    for kind, name in (("TIFF", "TIFF"), ("BMP", "BMP"))
    for length in (8, 30, 3000)
}

BOMBS = {
    "PNG of 30,000 x 30,000": too_large(png(header(30_000, 30_000), rows(np.zeros((9, 90_000), np.uint8)))),
    "PNG of 2,147,483,647 pixels a side": too_large(png(header(2**31 - 1, 2**31 - 1), rows(SCENE))),
    "PNG of one row too many": too_large(png(header(10_000, 5_001, 1, 0), rows(SCENE))),
    "JPEG of 65,500 x 65,500": too_large(with_sof(JPEG, height=65_500, width=65_500)),
    "WebP of 16,384 x 16,384": too_large(webp_of(16_384, 16_384)),
    "GIF of 65,535 x 65,535": too_large(gif_of(65_535, 65_535)),
    "GIF of 7,000 x 7,000 in a kilobyte": taken(lambda: gif_of(7_000, 7_000)),
    "PNG of 49 megapixels, 1 bit each": taken(lambda: png(header(7_000, 7_000, 1, 0), black(7_000, 875))),
    "PNG of 49 megapixels, 64 bits each": taken(lambda: png(header(7_000, 7_000, 16, 6), black(7_000, 56_000))),
    "PNG whose rows go on for 100 megabytes": taken(
        lambda: png(header(WIDTH, HEIGHT), chunk(b"IDAT", zlib.compress(filtered(SCENE) + bytes(100 * MEGABYTE))))
    ),
    **{
        f"{name} that unpacks to 200 megabytes": like(PNG, partial(with_bomb, name.encode(), start, 200 * MEGABYTE))
        for name, start in (("iCCP", b"profile\0\0"), ("zTXt", b"text\0\0"), ("iTXt", b"text\0\1\0\0\0"))
    },
    "PNG of 100,000 chunks": like(PNG, lambda: in_png(chunk(b"teXt", b"a\0b") * 100_000)),
    "JPEG of 3,000 progressive scans": refused(lambda: more_scans(3_000), "more than 100 scans"),
    "JPEG of 100,000 sequential scans": refused(lambda: many_scans(100_000, 7_000), "more than 100 scans"),
    "JPEG of 100 sequential scans": taken(lambda: many_scans(100, 1_000)),
    "JPEG with 10 megabytes of fill bytes": like(JPEG, lambda: in_jpeg(b"\xff" * 10 * MEGABYTE)),
    "JPEG with markers that mean nothing": refused(JPEG[:-2] + b"\xff\x01" * 10_000 + JPEG[-2:], "more than 100 scans"),
    "GIF of 2,000 frames": like(GIF, lambda: animated("GIF", 2_000)),
    "GIF with a comment of 5 megabytes": like(GIF, lambda: in_gif(b"!\xfe" + blocks(bytes(5 * MEGABYTE)))),
    "TIFF whose directories are a loop": refused(tiff(bytes(12), following=8, count=1), "a TIFF picture"),
    "TIFF of 65,535 entries": refused(tiff(bytes(12 * 65_535), following=0, count=65_535), "a TIFF picture"),
}

TWO_AT_ONCE = {
    "JPEG and ZIP": like(JPEG, JPEG + b"PK\3\4" + bytes(26) + b"PK\5\6" + bytes(18)),
    "ZIP and JPEG": refused(b"PK\3\4" + bytes(26) + JPEG, "a ZIP archive"),
    "GIF and JavaScript": like(GIF, in_gif(b"!\xfe" + blocks(b"*/=1;alert(1)//")) + b"*/alert(1)"),
    "GIF and JavaScript, in its size": refused(
        gif_of(int.from_bytes(b"/*", "little"), HEIGHT), "at most 20 times the short one"
    ),
    "PNG and HTML": like(PNG, in_png(chunk(b"tEXt", b"Comment\0" + SCRIPT)) + SCRIPT),
    "PDF in a JPEG": like(JPEG, in_jpeg(segment(0xFE, b"%PDF-1.7\n1 0 obj"))),
    "JPEG in a PNG": like(PNG, in_png(chunk(b"juNk", JPEG))),
    "PNG after a JPEG": like(JPEG, JPEG + PNG),
    "JPEG named PNG in its first bytes": refused(PNG[:8] + JPEG, "the PNG picture is truncated"),
    "PNG with a PHP program": like(PNG, in_png(chunk(b"tEXt", b"Comment\0<?php system('id') ?>"))),
}

METADATA = {
    "Exif of 4 megabytes": like(JPEG, lambda: in_jpeg(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 64)),
    "Exif that points behind itself": like(
        JPEG,
        in_jpeg(segment(0xE1, b"Exif\0\0II*\0\xf0\xff\xff\xff")),
    ),
    "Exif of 65,535 entries": like(
        JPEG, in_jpeg(segment(0xE1, b"Exif\0\0" + tiff(b"\1\2\3\0" * 16_000, following=8, count=65_535)[:65_000]))
    ),
    "XMP of 5 megabytes": like(
        JPEG, lambda: in_jpeg(segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)) * 80)
    ),
    "XMP with an entity that grows": like(
        JPEG, in_jpeg(segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [<!ENTITY a "&b;&b;">]><x>&a;</x>'))
    ),
    "ICC profile in 255 segments": like(
        JPEG,
        lambda: in_jpeg(*(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_000)) for n in range(1, 256))),
    ),
    "Exif of 5 megabytes in a PNG": like(PNG, lambda: in_png(chunk(b"eXIf", b"II*\0" + bytes(5 * MEGABYTE)))),
    "Exif of 5 megabytes in a WebP": like(PNG, lambda: webp_with(b"EXIF", b"II*\0" + bytes(5 * MEGABYTE))),
    "text that is no text": like(PNG, in_png(chunk(b"iTXt", Random(0).randbytes(1_000)))),
    "a wrong checksum of a text": like(PNG, in_png(chunk(b"tEXt", b"a\0b")[:-4] + b"wrng")),
    **{f"orientation {value} in a PNG": like(turned(value), oriented("PNG", value)) for value in range(10)},
    **{
        f"orientation {value} in a WebP": like(turned(value), oriented("WEBP", value, lossless=True))
        for value in (0, 3, 6, 9)
    },
    "orientation 65,535": like(PNG, oriented("PNG", 65_535)),
}

KINDS = {
    "GIF animated": like(GIF, lambda: animated("GIF", 5)),
    "WebP animated": like(PNG, lambda: animated("WEBP", 5, lossless=True)),
    "PNG animated": like(PNG, lambda: animated("PNG", 5)),
    "PNG animated, says 4,294,967,295 frames": like(PNG, in_png(chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0)))),
    "PNG, 16-bit grey": taken(png(header(WIDTH, HEIGHT, 16, 0), rows(SCENE[..., 0].astype(">u2") * 257))),
    "PNG, 16-bit RGB": taken(png(header(WIDTH, HEIGHT, 16, 2), rows(SCENE.astype(">u2") * 257))),
    "PNG, 16-bit with transparency": taken(
        png(header(WIDTH, HEIGHT, 16, 6), rows(np.dstack([SCENE, ALPHA]).astype(">u2") * 257))
    ),
    "PNG, 1 bit": taken(encoded(Image.fromarray(SCENE[..., 0] > 99), "PNG")),
    "PNG, palette with a transparent colour": taken(encoded(FRAME.convert("P"), "PNG", transparency=0)),
    "PNG, all of it transparent": like(
        encoded(Image.new("RGB", SIZE, "white"), "PNG"), encoded(Image.new("RGBA", SIZE, (9, 9, 9, 0)), "PNG")
    ),
    "PNG, interlaced": refused(
        png(header(WIDTH, HEIGHT, 8, 2, 0, 0, 1), rows(SCENE[:9])), "the PNG picture is truncated"
    ),
    "JPEG, CMYK": taken(encoded(Image.fromarray(SCENE).convert("CMYK"), "JPEG")),
    "JPEG, CMYK without Adobe's marker": taken(
        encoded(Image.fromarray(SCENE).convert("CMYK"), "JPEG").replace(b"Adobe", b"Other")
    ),
    "JPEG, YCCK": taken(ycck()),
    "JPEG, progressive": taken(PROGRESSIVE),
    "JPEG, restart markers": taken(encoded(SCENE, "JPEG", restart_marker_rows=1)),
    "JPEG, restart markers out of order": taken(
        encoded(SCENE, "JPEG", restart_marker_rows=1).replace(b"\xff\xd1", b"\xff\xd6")
    ),
    "JPEG, lossless": like(encoded(SCENE[..., 0], "PNG"), lossless_jpeg()),
    "JPEG, 12 bits": refused(with_sof(JPEG, 0xC1, precision=12), "the JPEG picture is truncated or damaged"),
    "JPEG, hierarchical": refused(with_sof(JPEG, 0xC5), "the JPEG picture is truncated or damaged"),
    "JPEG, 200 components": refused(with_sof(JPEG, components=200), "the JPEG picture is truncated or damaged"),
    "JPEG, no component": refused(with_sof(JPEG, components=0), "the JPEG picture is truncated or damaged"),
    "JPEG, sampled 15 times": refused(with_sof(JPEG, sampling=0xFF), "the JPEG picture is truncated or damaged"),
    # Frames of films leave out the Huffman tables; decoders then take those of the standard.
    "JPEG, without its Huffman tables": like(JPEG, JPEG.replace(b"\xff\xc4", b"\xff\xfe")),
    "JPEG, without its quantization tables": refused(
        JPEG.replace(b"\xff\xdb", b"\xff\xfe"), "the JPEG picture is truncated or damaged"
    ),
}

SIZES = {
    **{
        f"{kind} of {width} x {height}": refused(make(width, height), "at least 16 on each side")
        for kind, make in (
            ("JPEG", lambda w, h: with_sof(JPEG, width=w, height=h)),
            ("PNG", lambda w, h: png(header(w, h), rows(SCENE))),
            ("GIF", gif_of),
        )
        for width, height in ((1, 1), (1, 10_000))
    },
    "JPEG of 0 x 0": refused(with_sof(JPEG, width=0, height=0), "truncated or damaged"),
    "PNG of 0 x 0": refused(png(header(0, 0), rows(SCENE)), "truncated or damaged"),
    "PNG of 0 x 40": refused(png(header(0, HEIGHT), rows(SCENE)), "truncated or damaged"),
    "GIF of 0 x 0": refused(gif_of(0, 0), "at least 16 on each side"),
    "PNG of 4,294,967,295 x 1": too_large(png(header(2**32 - 1, 1), rows(SCENE))),
    "JPEG of 16 x 10,000": refused(with_sof(JPEG, width=16, height=10_000), "at most 20 times the short one"),
}

LIES = {
    "PNG without a header": refused(png(rows(SCENE)), "the PNG picture is truncated"),
    "PNG with two headers": refused(in_png(header(7, 7)), "7 x 7 pixels"),
    "PNG with 3 bits a sample": refused(png(header(WIDTH, HEIGHT, 3), rows(SCENE)), "the PNG picture is truncated"),
    "PNG of a colour type that is none": refused(
        png(header(WIDTH, HEIGHT, 8, 5), rows(SCENE)), "the PNG picture is truncated"
    ),
    "PNG without its palette": refused(png(header(WIDTH, HEIGHT, 8, 3), rows(SCENE)), "the PNG picture is truncated"),
    "PNG with a filter that is none": refused(
        png(header(WIDTH, HEIGHT), chunk(b"IDAT", zlib.compress(b"\x63" * (3 * WIDTH + 1) * HEIGHT))),
        "the PNG picture is truncated",
    ),
    "PNG with a chunk of 4 gigabytes": refused(
        in_png(chunk(b"teXt", b"a", length=2**32 - 1)), "the PNG picture is truncated"
    ),
    "PNG with a wrong checksum of its pixels": refused(PNG[:-16] + b"wrng" + PNG[-12:], "the PNG picture is truncated"),
    "PNG whose pixels are no zlib": refused(
        png(header(WIDTH, HEIGHT), chunk(b"IDAT", Random(1).randbytes(999))), "the PNG picture is truncated"
    ),
    "GIF whose frame lies outside": refused(
        GIF.replace(b"," + bytes(4), b"," + b"\xff\xff\xff\xff"), "at most 50000000 in all", "PICTURE_TOO_LARGE"
    ),
    "WebP whose length is 0": refused(WEBP[:4] + bytes(4) + WEBP[8:], "the WebP picture is truncated"),
}

NO_PICTURES = {
    "nothing": refused(b"", "the picture is empty"),
    "text": refused(b"no such file", "looks like text"),
    "NUL bytes": refused(bytes(5_000), "no format that is known here"),
    "random bytes": refused(Random(2).randbytes(5_000), "no format that is known here"),
    "SVG": refused(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "SVG with an entity that grows": refused(
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "&b;&b;">]><svg>&a;</svg>', "an SVG drawing"
    ),
    "PDF": refused(b"%PDF-1.7\n", "a PDF document"),
    "HEIC": refused(b"\0\0\0\x18ftypheic" + bytes(200), "a HEIC picture"),
    "AVIF": refused(b"\0\0\0\x1cftypavif" + bytes(200), "an AVIF picture"),
    "JPEG XL": refused(b"\xff\x0a" + bytes(200), "a JPEG XL picture"),
    "TIFF of NaN": refused(encoded(Image.fromarray(np.full(SIZE, np.nan, np.float32)), "TIFF"), "a TIFF picture"),
    "BMP": refused(encoded(SCENE, "BMP"), "a BMP picture"),
    "ICO": refused(encoded(SCENE, "ICO"), "no format that is known here"),
    "a path": refused(b"/etc/passwd", "looks like text"),
    "an address": refused(b"http://169.254.169.254/latest/meta-data/", "looks like text"),
    "base64": refused(b"iVBORw0KGgoAAAANSUhEUg", "base64 text"),
}

BEHIND = {
    f"{kind} with garbage behind its end": like(whole, whole + Random(3).randbytes(50_000))
    for kind, whole in (("JPEG", JPEG), ("PNG", PNG), ("WebP", WEBP), ("GIF", GIF))
}

HOSTILE: dict[str, Hostile] = {
    **CUT,
    **BOMBS,
    **TWO_AT_ONCE,
    **METADATA,
    **KINDS,
    **SIZES,
    **LIES,
    **NO_PICTURES,
    **BEHIND,
}
