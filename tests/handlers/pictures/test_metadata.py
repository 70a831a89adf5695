"""Metadata of every kind, large, strange or damaged: the picture comes out as if they were not there."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, PngImagePlugin

from whybox.v1.errors import PictureError
from whybox_handlers.pictures.decoding import decode

SIZE = WIDTH, HEIGHT = 24, 18
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)
LARGE = 3 << 20
"""Bytes; three times what Pillow unpacks, and more than it keeps in one text."""

# Every ancillary chunk of the PNG specification and its registered extensions, and two that are not registered.
ANCILLARY = [
    *("bKGD", "cHRM", "cICP", "cLLI", "dSIG", "eXIf", "gAMA", "gIFg", "gIFt", "gIFx", "hIST", "iCCP", "iTXt", "mDCV"),
    *("oFFs", "pCAL", "pHYs", "sBIT", "sCAL", "sPLT", "sRGB", "sTER", "tEXt", "tIME", "zTXt", "acTL", "fcTL", "fdAT"),
    *("caBX", "prVT", "aBCD"),
]


def encoded(kind: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


PNG = encoded("PNG")
JPEG = encoded("JPEG", quality=95)
GIF = encoded("GIF", PICTURE.quantize(32))
WEBP = encoded("WEBP", lossless=True)


def chunk(name: bytes, data: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(name + data) ^ wrong
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def in_png(*chunks: bytes, before_pixels: bool = True, png: bytes = PNG) -> bytes:
    at = png.index(b"IDAT") - 4 if before_pixels else len(png) - 12
    return png[:at] + b"".join(chunks) + png[at:]


def in_jpeg(marker: int, data: bytes, *, at: int = 2) -> bytes:
    return JPEG[:at] + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data + JPEG[at:]


def in_gif(extension: bytes) -> bytes:
    at = 13 + 3 * (2 << (GIF[10] & 7))
    return GIF[:at] + extension + GIF[at:]


def blocks(data: bytes) -> bytes:
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def in_webp(name: bytes, data: bytes, flags: int, *, before_pixels: bool) -> bytes:
    def part(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    extended = part(b"VP8X", struct.pack("<I", flags) + (WIDTH - 1).to_bytes(3, "little") + bytes([HEIGHT - 1, 0, 0]))
    parts = [part(name, data), WEBP[12:]] if before_pixels else [WEBP[12:], part(name, data)]
    body = b"WEBP" + extended + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def same(one: bytes, other: bytes) -> bool:
    return torch.equal(decode(one), decode(other))


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\0",
    "a damaged zlib stream": b"name\0\0" + zlib.compress(bytes(1000))[:-8],
    "a stream that is none": b"name\0\0" + bytes(range(256)),
    "an unknown compression": b"name\0\7" + zlib.compress(b"text"),
    "a stream that unpacks to 3 MiB": b"name\0\0" + zlib.compress(bytes(LARGE)),
    "a text that unpacks to 3 MiB": b"name\0\1\0en\0name\0" + zlib.compress(bytes(LARGE)),
    "no separator": b"name" * 100,
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ANCILLARY)
def test_no_ancillary_chunk_of_a_png_refuses_it(name: str, content: str) -> None:
    for wrong in (False, True):
        damaged = chunk(name.encode(), CONTENTS[content], wrong=wrong)
        for before_pixels in (True, False):
            assert same(in_png(damaged, before_pixels=before_pixels), PNG)


def test_many_texts_larger_together_than_pillow_keeps() -> None:
    text = chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(1 << 20)))
    assert same(in_png(*[text] * 70), PNG)


def test_bombs_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(50 << 20)))

    def refuse(_: bytes) -> bytes:
        raise AssertionError("the profile was unpacked")

    monkeypatch.setattr(PngImagePlugin, "_safe_zlib_decompress", refuse)
    assert same(in_png(bomb), PNG)


def test_limits_of_pillow_stay_as_they_are() -> None:
    limits = (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, ImageFile.LOAD_TRUNCATED_IMAGES)
    decode(in_png(chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(LARGE)))))
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"IDAT", b"IEND"])
def test_a_wrong_checksum_in_a_critical_chunk_is_refused(name: bytes) -> None:
    png = bytearray(encoded("PNG", PICTURE.quantize(32)))
    at = png.index(name)
    png[at + 4 + int.from_bytes(png[at - 4 : at])] ^= 1
    with pytest.raises(PictureError, match="the PNG picture is truncated or damaged"):
        decode(bytes(png))


@pytest.mark.parametrize("name", ["tEXt", "IDAT"])
def test_a_png_cut_off_inside_a_chunk_is_refused(name: str) -> None:
    whole = in_png(chunk(b"tEXt", b"name\0text" * 20), before_pixels=False)
    with pytest.raises(PictureError, match="the PNG picture is truncated or damaged"):
        decode(whole[: whole.index(name.encode()) + 20])


GREY = encoded("PNG", PICTURE.convert("L"))
PALETTED = encoded("PNG", PICTURE.quantize(8))
WITH_ALPHA = encoded("PNG", PICTURE.convert("RGBA"))
KEY = struct.pack(">HHH", *PIXELS[0, 0].tolist())

TRANSPARENCIES: dict[str, tuple[bytes, bytes, bool]] = {
    # The PNG, the chunk, and whether it makes anything transparent.
    "a colour": (PNG, chunk(b"tRNS", KEY), True),
    "a palette's entries": (PALETTED, chunk(b"tRNS", bytes(8)), True),
    "wrong checksum": (PNG, chunk(b"tRNS", KEY, wrong=True), False),
    "a colour cut short": (PNG, chunk(b"tRNS", KEY[:5]), False),
    "empty": (PNG, chunk(b"tRNS", b""), False),
    "empty, of a grey picture": (GREY, chunk(b"tRNS", b""), False),
    "more entries than the palette has": (PALETTED, chunk(b"tRNS", bytes(257)), False),
    "in a picture with alpha": (WITH_ALPHA, chunk(b"tRNS", KEY), False),
}


@pytest.mark.parametrize("name", TRANSPARENCIES)
def test_transparency_is_kept_as_libpng_keeps_it(name: str) -> None:
    png, transparency, counts = TRANSPARENCIES[name]
    assert same(in_png(transparency, png=png), png) is not counts


def test_transparency_after_the_pixels_comes_too_late() -> None:
    assert same(in_png(chunk(b"tRNS", KEY), before_pixels=False), PNG)


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHxx", 1, 0x0112, 3, 1, orientation)


TURNED: dict[str, tuple[bytes, bytes, bool]] = {
    "PNG": (in_png(chunk(b"eXIf", exif(3))), PNG, True),
    "PNG, wrong checksum": (in_png(chunk(b"eXIf", exif(3), wrong=True)), PNG, False),
    "JPEG": (in_jpeg(0xE1, b"Exif\0\0" + exif(3)), JPEG, True),
    "JPEG, after a comment": (in_jpeg(0xE1, b"Exif\0\0" + exif(3), at=20), JPEG, True),
    "WebP": (in_webp(b"EXIF", exif(3), 8, before_pixels=False), WEBP, True),
}


@pytest.mark.parametrize("name", TURNED)
def test_the_orientation_still_counts(name: str) -> None:
    turned, plain, turns = TURNED[name]
    upright = decode(plain)
    assert torch.equal(decode(turned), upright.flip(1, 2) if turns else upright)


SIGNATURES = (
    "",
    "JFIF",
    "JFIF\0",
    "JFXX\0",
    "Exif\0\0",
    "ICC_PROFILE\0",
    "Adobe",
    "MPF\0",
    "Photoshop 3.0\0",
    "FPXR\0",
)
SEGMENTS: dict[str, bytes] = {
    f"{name!r} and {len(rest)} bytes": name.encode() + rest for name in SIGNATURES for rest in (b"", b"\1", bytes(3))
} | {
    "a large part of a profile": b"ICC_PROFILE\0\1\xff" + bytes(60_000),
    "Photoshop resources that end early": b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\x10aaaa",
    "XMP": b"http://ns.adobe.com/xap/1.0/\0" + bytes(60_000),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_no_application_data_or_comment_of_a_jpeg_refuses_it(name: str) -> None:
    for marker in (*range(0xE0, 0xF0), 0xFE):
        for at in (2, 20):  # before and after the file's own JFIF segment
            assert same(in_jpeg(marker, SEGMENTS[name], at=at), JPEG)


def test_a_jpeg_keeps_what_tells_its_colours() -> None:
    inks = encoded("JPEG", PICTURE.convert("CMYK"), quality=95)
    comment = b"\xff\xfe\0\4hi"
    assert same(inks[:2] + comment + inks[2:], inks)
    stored = encoded("JPEG", quality=95, keep_rgb=True)
    assert same(stored[:2] + comment + stored[2:], stored)


def test_a_jpeg_of_megabytes_of_metadata() -> None:
    parts = b"".join(in_jpeg(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000))[2:65_020] for _ in range(100))
    assert same(JPEG[:2] + parts + JPEG[2:], JPEG)


EXTENSIONS: dict[str, bytes] = {
    "comment of 3 MiB": b"\x21\xfe" + blocks(bytes(LARGE)),
    "profile of 3 MiB": b"\x21\xff\x0bICCRGBG1012" + blocks(bytes(LARGE)),
    "application without a name": b"\x21\xff\0",
    "loop without a count": b"\x21\xff\x0bNETSCAPE2.0\0",
    "loop with a short count": b"\x21\xff\x0bNETSCAPE2.0\2\1\1\0",
    "empty control": b"\x21\xf9\0",
    "short control": b"\x21\xf9\1\1\0",
    "plain text": b"\x21\1\x0c" + bytes(12) + blocks(b"hello"),
    "unknown": b"\x21\x77" + blocks(b"hello"),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_no_extension_of_a_gif_refuses_it(name: str) -> None:
    assert same(in_gif(EXTENSIONS[name]), GIF)


@pytest.mark.parametrize("before_pixels", [True, False])
@pytest.mark.parametrize("content", [b"", b"a", bytes(LARGE)], ids=["empty", "one byte", "3 MiB"])
@pytest.mark.parametrize(("name", "flags"), [(b"ICCP", 0x20), (b"EXIF", 8), (b"XMP ", 4), (b"abcd", 0)])
def test_no_metadata_of_a_webp_refuse_it(name: bytes, flags: int, content: bytes, before_pixels: bool) -> None:
    for told in (flags, 0):
        assert same(in_webp(name, content, told, before_pixels=before_pixels), WEBP)


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "without its end marker": lambda jpeg: jpeg[:-2],
    "with half of its end marker": lambda jpeg: jpeg[:-1],
}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("name", HARMS)
def test_a_jpeg_without_its_end_marker_is_refused(name: str, progressive: bool) -> None:
    """It cannot be told from one that lost its lower part, or the last of its scans."""
    with pytest.raises(PictureError, match="the JPEG picture is truncated or damaged; send the whole file"):
        decode(HARMS[name](encoded("JPEG", progressive=progressive)))


@pytest.mark.parametrize("whole", [JPEG, PNG, GIF, WEBP], ids=["JPEG", "PNG", "GIF", "WebP"])
def test_bytes_after_the_end_do_not_matter(whole: bytes) -> None:
    assert same(whole + b"\r\n" + bytes(100), whole)
