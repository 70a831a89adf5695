"""Pictures: every format against the pixels it was made of, every refusal, damage of all kinds, and the resizing."""

import importlib.util
import random
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from whybox.v1.errors import PictureError, PictureTooLargeError
from whybox_handlers.pictures.decoding import (
    MAX_PIXELS,
    MAX_SCANS,
    decode,
    preprocess,
)

SIZE = WIDTH, HEIGHT = 60, 40


def photographs() -> list[Path]:
    spec = importlib.util.find_spec("foolbox")
    assert spec is not None
    assert spec.origin is not None
    return sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))


def smooth(channels: int) -> np.ndarray:
    """A picture without edges, which lossy formats keep nearly as it is: uint8 [HEIGHT, WIDTH, channels]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [4 * x, 6 * y, 250 - 2 * x - 3 * y, 60 + 3 * x]
    return np.stack(planes[:channels], -1).clip(0, 255).astype(np.uint8)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    laid: np.ndarray = colour * (alpha / 255) + 255 - alpha
    return laid


RGB = smooth(3)
GREY = smooth(1)[..., 0]
ALPHA = smooth(4)[..., 3]
BLOCKS = np.kron(np.arange(6).reshape(2, 3), np.ones((20, 20), int)).astype(np.uint8)  # palette indices
PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [0, 0, 255], [250, 240, 10], [90, 91, 92]], np.uint8)


def encode(picture: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    depth: int,
    colour_type: int,
    rows: bytes,
    *extra: bytes,
    interlace: int = 0,
    tail: bytes = b"",
) -> bytes:
    """A PNG of raw rows (each with its filter byte), for what Pillow cannot write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + tail + chunk(b"IEND", b"")


def paletted(**info: object) -> Image.Image:
    picture = Image.fromarray(BLOCKS)
    picture.putpalette(PALETTE.tobytes())
    picture.info.update(info)
    return picture


def palette_over_white(transparent: int) -> np.ndarray:
    colours = PALETTE.copy()
    colours[transparent] = 255
    return colours[BLOCKS]


def rgba() -> np.ndarray:
    return np.dstack([RGB, ALPHA])


def cmyk(marker: bool) -> bytes:
    """A CMYK JPEG as Adobe writes it (inverted), with or without Adobe's marker."""
    encoded = encode(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=100)
    return encoded if marker else encoded.replace(b"Adobe", b"Other")


def ycck() -> bytes:
    """The same as YCCK. Pillow cannot write it: it gets the channels as inks, and Adobe's marker is told otherwise."""
    channels = Image.fromarray(255 - RGB).convert("YCbCr").split()
    inks = [ImageOps.invert(channel) for channel in channels]
    encoded = encode(Image.merge("CMYK", [*inks, Image.new("L", SIZE, 0)]), "JPEG", quality=100)
    transform = encoded.index(b"Adobe") + 11
    return encoded[:transform] + b"\2" + encoded[transform + 1 :]


EXACT: dict[str, tuple[bytes, np.ndarray]] = {
    "PNG RGB": (encode(RGB, "PNG"), RGB),
    "PNG grey": (encode(GREY, "PNG"), GREY[..., None]),
    "PNG 1-bit": (encode(Image.fromarray(GREY > 99), "PNG"), 255 * (GREY > 99)[..., None]),
    "PNG palette": (encode(paletted(), "PNG"), PALETTE[BLOCKS]),
    "PNG palette, one colour transparent": (encode(paletted(transparency=3), "PNG"), palette_over_white(3)),
    "PNG palette with alphas": (
        encode(paletted(transparency=bytes([255, 255, 255, 255, 0, 255])), "PNG"),
        palette_over_white(4),
    ),
    "PNG RGB, one colour transparent": (
        encode(PALETTE[BLOCKS], "PNG", transparency=(255, 0, 0)),
        palette_over_white(1),
    ),
    "PNG grey, one level transparent": (
        encode(GREY, "PNG", transparency=40),
        np.where(GREY == 40, 255, GREY)[..., None],
    ),
    "PNG 1-bit, black transparent": (
        encode(Image.fromarray(GREY > 99), "PNG", transparency=0),
        np.full((HEIGHT, WIDTH, 1), 255),
    ),
    "PNG 4-bit grey": (
        png(16, 16, 4, 0, (b"\0" + bytes.fromhex("0123456789abcdef")) * 16),
        17 * np.mgrid[:16, :16][1][..., None],
    ),
    "PNG 4-bit grey, one level transparent": (
        png(16, 16, 4, 0, (b"\0" + bytes.fromhex("0123456789abcdef")) * 16, chunk(b"tRNS", b"\0\3")),
        np.array([255 if x == 3 else 17 * x for x in range(16)] * 16).reshape(16, 16, 1),
    ),
    "PNG animated": (encode(RGB, "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]), RGB),
    "WebP lossless": (encode(RGB, "WEBP", lossless=True), RGB),
    "WebP animated": (
        encode(RGB, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", SIZE)]),
        RGB,
    ),
    "GIF": (encode(paletted(), "GIF"), PALETTE[BLOCKS]),
    "GIF grey": (encode(GREY, "GIF"), GREY[..., None]),
    "GIF, one colour transparent": (encode(paletted(transparency=2), "GIF", transparency=2), palette_over_white(2)),
    "GIF animated": (
        encode(paletted(), "GIF", save_all=True, append_images=[Image.new("RGB", SIZE)]),
        PALETTE[BLOCKS],
    ),
}

# With the greatest difference in levels of 255 that compression, or rounding, may make.
NEAR: dict[str, tuple[bytes, np.ndarray, float]] = {
    "JPEG": (encode(RGB, "JPEG", quality=100, subsampling=0), RGB, 3),
    "JPEG progressive": (encode(RGB, "JPEG", quality=100, subsampling=0, progressive=True), RGB, 3),
    "JPEG grey": (encode(GREY, "JPEG", quality=100), GREY[..., None], 2),
    "JPEG stored as RGB": (encode(RGB, "JPEG", quality=100, keep_rgb=True), RGB, 3),
    "JPEG CMYK": (cmyk(marker=True), RGB, 4),
    "JPEG CMYK without marker": (cmyk(marker=False), RGB, 4),
    "JPEG YCCK": (ycck(), RGB, 4),
    "WebP lossy": (encode(RGB, "WEBP", quality=100), RGB, 12),
    "WebP with alpha": (encode(rgba(), "WEBP", lossless=True, exact=True), over_white(RGB, ALPHA[..., None]), 0.51),
    "PNG RGBA": (encode(rgba(), "PNG"), over_white(RGB, ALPHA[..., None]), 0.51),
    "PNG grey with alpha": (
        encode(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), "PNG"),
        over_white(GREY, ALPHA)[..., None],
        0.51,
    ),
}


def levels(picture: torch.Tensor) -> np.ndarray:
    """Back to [height, width, 3], for comparison."""
    assert picture.shape[0] == 3
    return picture.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", EXACT)
def test_lossless_formats_give_the_pixels_they_were_made_of(name: str) -> None:
    encoded, expected = EXACT[name]
    picture = decode(encoded)
    assert picture.dtype == torch.uint8
    np.testing.assert_array_equal(levels(picture), np.broadcast_to(expected, (*expected.shape[:2], 3)))


@pytest.mark.parametrize("name", NEAR)
def test_lossy_and_translucent_pictures_come_out_as_a_person_sees_them(name: str) -> None:
    encoded, expected, tolerance = NEAR[name]
    difference = levels(decode(encoded)).astype(float) - expected
    assert np.abs(difference).max() <= tolerance


def interlaced(samples: np.ndarray) -> bytes:
    """Adam7's seven passes, each row with its filter byte."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    return b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in samples[y::dy, x::dx])


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_keeps_every_bit(colour_type: int, channels: int, interlace: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(">u2")
    rows = interlaced(samples) if interlace else b"".join(b"\0" + row.tobytes() for row in samples)
    picture = decode(png(WIDTH, HEIGHT, 16, colour_type, rows, interlace=interlace))
    exact = samples / 65535
    expected = exact if channels % 2 else exact[..., :-1] * exact[..., -1:] + 1 - exact[..., -1:]
    assert picture.dtype == torch.float32
    np.testing.assert_allclose(levels(picture), np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), rtol=0, atol=2e-7)


@pytest.mark.parametrize(("colour_type", "key"), [(0, [300]), (2, [300, 301, 302])])
def test_16_bit_png_with_a_transparent_colour(colour_type: int, key: list[int]) -> None:
    samples = np.full((16, 16, len(key)), 299, ">u2")
    samples[0, 0] = key
    samples[0, 1, 0] = key[0] ^ 0x100  # the low bytes agree, the colour does not
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    picture = decode(png(16, 16, 16, colour_type, rows, chunk(b"tRNS", np.array(key, ">u2").tobytes())))
    assert (picture[:, 0, 0] == 1).all()
    assert (picture == 1).sum() == 3
    assert picture[0, 0, 1] == np.float32(key[0] ^ 0x100) / np.float32(65535)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.Orientation] = orientation
    encoded = encode(RGB, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    upright = ImageOps.exif_transpose(Image.open(BytesIO(encoded))).convert("RGB")
    np.testing.assert_array_equal(levels(decode(encoded)), np.asarray(upright))


@pytest.mark.parametrize(
    "tiff",
    [
        pytest.param(
            struct.pack(">2sHIHHHIHH", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0), id="big-endian, last bytes cut off"
        ),
        pytest.param(b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHxx", 1, 0x0112, 3, 1, 6), id="after the pixels"),
    ],
)
def test_orientation_that_pillow_would_miss_or_warn_of(tiff: bytes) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    picture = decode(png(WIDTH, HEIGHT, 8, 2, rows, tail=chunk(b"eXIf", tiff)))
    np.testing.assert_array_equal(levels(picture), np.rot90(RGB, -1))


@pytest.mark.parametrize(
    "tiff", [b"", b"II", b"XX*\0\0\0\0\x08", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(9)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_no_exif(kind: str, tiff: bytes) -> None:
    assert decode(encode(RGB, kind, exif=b"Exif\0\0" + tiff)).shape == (3, HEIGHT, WIDTH)


def test_photographs_are_decoded_as_pillow_does() -> None:
    for path in photographs():
        expected = np.asarray(Image.open(path).convert("RGB"))
        np.testing.assert_array_equal(levels(decode(path.read_bytes())), expected)


def test_strips_of_a_large_picture_join() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (700, 900, 3), np.uint8)
    np.testing.assert_array_equal(levels(decode(encode(picture, "PNG", compress_level=1))), picture)


def gif_with_frame(side: int) -> bytes:
    """A small canvas, and a frame that says it is larger."""
    encoded = encode(np.zeros((20, 20), np.uint8), "GIF")
    frame = struct.pack("<HHHH", 0, 0, 20, 20)
    return encoded.replace(b"," + frame, b"," + struct.pack("<HHHH", 0, 0, side, side))


def jpeg_with_size(width: int, height: int) -> bytes:
    encoded = encode(RGB, "JPEG")
    return encoded.replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", height, width))


def jpeg_with_scans(count: int) -> bytes:
    encoded = encode(RGB, "JPEG", progressive=True)
    last = encoded.rindex(b"\xff\xda")
    return encoded[:last] + encoded[last:-2] * count + b"\xff\xd9"


def webp_with_size(chunk_name: bytes) -> bytes:
    simple = {b"VP8 ": encode(RGB, "WEBP"), b"VP8L": encode(RGB, "WEBP", lossless=True)}
    encoded = bytearray(simple.get(chunk_name) or encode(rgba(), "WEBP"))
    assert encoded[12:16] == chunk_name
    start, largest = {
        b"VP8 ": (26, b"\xff\x3f\xff\x3f"),
        b"VP8L": (21, b"\xff\xff\xff\x0f"),
        b"VP8X": (24, b"\xff\x7f\0\xff\x7f\0"),
    }[chunk_name]
    encoded[start : start + len(largest)] = largest
    return bytes(encoded)


HUGE: dict[str, bytes] = {
    "PNG of 65 bytes": png(30_000, 30_000, 8, 2, b""),
    "PNG of which Pillow would warn": png(10_000, 10_000, 8, 2, b""),
    "PNG barely too large": png(10_000, MAX_PIXELS // 10_000 + 1, 8, 2, b""),
    "PNG with 16 bits": png(30_000, 30_000, 16, 6, b""),
    "JPEG": jpeg_with_size(65_000, 65_000),
    "GIF": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + encode(GREY, "GIF")[10:],
    "GIF frame": gif_with_frame(9_000),
    "GIF frame of which Pillow would warn": gif_with_frame(12_000),
    "GIF frame that Pillow refuses": gif_with_frame(65_535),
    "WebP lossy": webp_with_size(b"VP8 "),
    "WebP lossless": webp_with_size(b"VP8L"),
    "WebP extended": webp_with_size(b"VP8X"),
}


@pytest.mark.parametrize("name", HUGE)
def test_too_many_pixels_are_refused_before_they_are_decoded(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(PictureTooLargeError, match=f"at most {MAX_PIXELS} in all") as refusal:
        decode(HUGE[name])
    assert time.perf_counter() - start < 0.5
    assert refusal.value.field == "image"


def damaged_data(harm: Callable[[bytes], bytes]) -> bytes:
    """A PNG whose compressed data are harmed, with a checksum that agrees with the harm."""
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    whole = chunk(b"IDAT", zlib.compress(rows))
    return png(WIDTH, HEIGHT, 8, 2, rows).replace(whole, chunk(b"IDAT", harm(zlib.compress(rows))))


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; send one JPEG, PNG, WebP or GIF picture"),
    "BMP": (encode(RGB, "BMP"), "looks like a BMP picture; send one JPEG"),
    "TIFF": (encode(RGB, "TIFF"), "looks like a TIFF picture"),
    "JPEG 2000": (encode(RGB, "JPEG2000"), "looks like a JPEG 2000 picture"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(20), "looks like an AVIF picture"),
    "HEIC": (b"\0\0\0\x20ftypheic" + bytes(20), "looks like a HEIC picture"),
    "PDF": (b"%PDF-1.7\n", "looks like a PDF document"),
    "SVG": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>', "looks like an SVG drawing"),
    "HTML": (b"\n<!DOCTYPE html><title>404</title>", "looks like an HTML page"),
    "text": (b"no such file", "looks like text"),
    "base64": (b"iVBORw0KGgoAAAANSUhEUg", "looks like base64 text"),
    "data URL": (b"data:image/png;base64,iVBORw0KGgo", "looks like a data URL"),
    "noise": (random.Random(0).randbytes(100), "no format that is known here"),
    "15 pixels wide": (encode(RGB[:, :15], "PNG"), "15 x 40 pixels; send one with at least 16 on each side"),
    "15 pixels high": (encode(RGB[:15], "JPEG"), "60 x 15 pixels; send one with at least 16"),
    "too long": (encode(np.zeros((321, 16), np.uint8), "PNG"), "16 x 321 pixels; .* at most 20 times the short one"),
    "too wide": (encode(np.zeros((16, 321), np.uint8), "WEBP"), "321 x 16 pixels; .* at most 20 times"),
    "too many scans": (jpeg_with_scans(MAX_SCANS), f"more than {MAX_SCANS} scans"),
    "JPEG cut": (encode(RGB, "JPEG")[:-40], "the JPEG picture is truncated or damaged; send the whole file"),
    "JPEG signature only": (b"\xff\xd8\xff", "the JPEG picture is truncated"),
    "CMYK JPEG cut": (cmyk(marker=True)[:-40], "the JPEG picture is truncated"),
    "PNG cut": (encode(RGB, "PNG")[:-40], "the PNG picture is truncated"),
    "PNG without its end": (encode(RGB, "PNG")[:-12], "the PNG picture is truncated"),
    "PNG header only": (encode(RGB, "PNG")[:33], "the PNG picture is truncated"),
    "PNG without pixels": (png(WIDTH, HEIGHT, 8, 2, b""), "the PNG picture is truncated"),
    "PNG whose data end early": (damaged_data(lambda data: data[: len(data) // 2]), "the PNG picture is truncated"),
    "PNG with a wrong zlib sum": (damaged_data(lambda data: data[:-4] + bytes(4)), "the PNG picture is truncated"),
    "16-bit PNG whose data end early": (
        png(16, 16, 16, 2, random.Random(0).randbytes(1000) + bytes(552))[:-40] + chunk(b"IEND", b""),
        "the PNG picture is truncated",
    ),
    "PNG with a wrong checksum": (
        encode(RGB, "PNG")[:-16] + bytes(4) + encode(RGB, "PNG")[-12:],
        "the PNG picture is truncated",
    ),
    "WebP cut": (encode(RGB, "WEBP")[: len(encode(RGB, "WEBP")) // 2], "the WebP picture is truncated"),
    "WebP signature only": (b"RIFF\0\0\0\0WEBP", "the WebP picture is truncated"),
    "GIF cut": (encode(RGB, "GIF")[:-40], "the GIF picture is truncated"),
    "GIF header only": (b"GIF89a", "the GIF picture is truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_field_and_the_remedy(name: str) -> None:
    encoded, words = REFUSED[name]
    with pytest.raises(PictureError, match=words) as refusal:
        decode(encoded)
    assert refusal.value.field == "image"
    assert not isinstance(refusal.value, PictureTooLargeError)


def test_the_smallest_and_the_longest_that_are_taken() -> None:
    assert decode(encode(np.zeros((16, 320), np.uint8), "PNG")).shape == (3, 16, 320)


def flipped(encoded: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(encoded)
    end = len(damaged) if chance.random() < 0.5 else min(100, len(damaged))  # headers are where lies are told
    for _ in range(chance.randint(1, 4)):
        damaged[chance.randrange(end)] = chance.randrange(256)
    return bytes(damaged)


def spliced(encoded: bytes, chance: random.Random) -> bytes:
    return encoded[: chance.randrange(64)] + chance.randbytes(400)


def rechecked(encoded: bytes, chance: random.Random) -> bytes:
    """Damages a PNG and makes its checksums right again, so that the damage is found by the decoder."""
    if not encoded.startswith(b"\x89PNG"):
        return flipped(encoded, chance)
    damaged, at = bytearray(encoded), 8
    while at < len(damaged):
        (length,) = struct.unpack_from(">I", encoded, at)
        if length and chance.random() < 0.5:
            damaged[at + 8 + chance.randrange(length)] = chance.randrange(256)
        damaged[at + 8 + length : at + 12 + length] = struct.pack(">I", zlib.crc32(damaged[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(damaged)


FILES = {name: case[0] for name, case in (EXACT | NEAR).items()}


def outcome(encoded: bytes) -> torch.Tensor | PictureError:
    try:
        return decode(encoded)
    except PictureError as error:
        return error


@pytest.mark.parametrize("name", FILES)
def test_nothing_but_a_picture_or_a_picture_error_comes_out(name: str) -> None:
    encoded, chance = FILES[name], random.Random(name)
    damaged = [encoded[: len(encoded) * n // 20] for n in range(20)]
    damaged += [harm(encoded, chance) for harm in (flipped, spliced, rechecked) for _ in range(40)]
    for case in damaged:
        start = time.perf_counter()
        result = outcome(case)
        assert time.perf_counter() - start < 2
        if isinstance(result, PictureError):
            assert result.field == "image"
        else:
            assert result.shape[0] == 3
            assert result[0].numel() <= MAX_PIXELS


def test_every_thread_gets_the_same_tensor() -> None:
    encoded = [path.read_bytes() for path in photographs()[:4]] * 4
    alone = [preprocess(decode(e), 256, 224)[0] for e in encoded]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda e: preprocess(decode(e), 256, 224)[0], encoded))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def pillow_reference(picture: Image.Image, resize: int, crop: int) -> np.ndarray:
    """Pillow's bicubic resize of the short side, and torchvision's centre crop: [crop, crop(, 3)]."""
    width, height = picture.size
    columns, rows = int(resize * width / min(width, height)), int(resize * height / min(width, height))
    left, top = round((columns - crop) / 2), round((rows - crop) / 2)
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BICUBIC))[top : top + crop, left : left + crop]


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (272, 240), (292, 260), (700, 640)])
def test_photographs_are_preprocessed_as_pillow_does(resize: int, crop: int) -> None:
    for path in photographs():
        seen, _ = preprocess(decode(path.read_bytes()), resize, crop)
        expected = pillow_reference(Image.open(path).convert("RGB"), resize, crop).astype(float)
        difference = np.abs(levels(seen) * 255 - expected)
        assert seen.dtype == torch.float32
        assert seen.is_contiguous()
        assert difference.max() <= 2.001  # one level for each of the two passes, which round to 8 bits
        assert difference.mean() < 0.01


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (17, 300), (224, 224), (31, 33)])
def test_fine_levels_survive_preprocessing(size: tuple[int, int]) -> None:
    """Against Pillow's resizing of single floats, which neither rounds nor clamps on the way."""
    width, height = size
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    seen, _ = preprocess(picture, 256, 224)
    for plane, result in zip(picture.numpy(), seen.numpy(), strict=True):
        expected = pillow_reference(Image.fromarray(plane), 256, 224).clip(0, 1)
        np.testing.assert_allclose(result, expected, rtol=0, atol=3e-5)


def test_overshoot_is_clamped() -> None:
    stripes = np.zeros((100, 100), np.uint8)
    stripes[:, 40:60] = 255
    for picture in (decode(encode(stripes, "PNG")), decode(encode(stripes, "PNG")) / 255):
        seen, _ = preprocess(picture, 256, 224)
        assert (float(seen.min()), float(seen.max())) == (0, 1)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (300, 300), (641, 97)])
def test_view_is_the_box_that_the_model_sees(size: tuple[int, int]) -> None:
    """A ramp along each axis reads the position in the picture off the pixels that came out."""
    width, height = size
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    seen, view = preprocess(torch.stack([x, y, torch.zeros_like(x)]), 256, 224)
    assert (view.picture_width, view.picture_height) == size
    for positions, start, extent, length in (
        (seen[0, 112], view.left, view.width, width),
        (seen[1, :, 112], view.top, view.height, height),
    ):
        centres = start + (torch.arange(224) + 0.5) * extent / 224
        torch.testing.assert_close(positions * length, centres, rtol=0, atol=0.05)


def test_view_of_a_turned_picture_is_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    _, view = preprocess(decode(encode(RGB, "JPEG", exif=exif)), 32, 32)
    assert (view.picture_width, view.picture_height) == (HEIGHT, WIDTH)
    assert (view.left, view.top, view.width, view.height) == (0, 10, 40, 40)


@pytest.mark.parametrize("crop", [0, 257])
def test_crop_must_fit(crop: int) -> None:
    with pytest.raises(ValueError, match="between 1 and resize"):
        preprocess(torch.zeros(3, 20, 20), 256, crop)
