"""Compressed bodies: unpacked where that is understood, and no further than the limits allow."""

import gzip
import json
import os
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from server.conftest import MAX_IMAGE_BYTES, FakeGateway
from server.rest.sending import BASE64, PICTURE, URL
from server.rest.sockets import Port, form, post
from whybox_server.rest.bodies.encodings import unpacked

Pack = Callable[[bytes], bytes]

FORM = "multipart/form-data; boundary=XbX"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[:10]) + gzip.compress(data[10:])


# The value of Content-Encoding and how a body is compressed for it.
PACKED: dict[str, tuple[str, Pack]] = {
    "gzip": ("gzip", gzip.compress),
    "any case": (" GZip ", gzip.compress),
    "old name": ("x-gzip", gzip.compress),
    "two members": ("gzip", two_members),
    "stored": ("gzip", lambda data: gzip.compress(data, 0)),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "and identity": ("identity, gzip", gzip.compress),
    "none": ("", bytes),
}
BODIES = {
    "raw": (PICTURE, "image/jpeg"),
    "octets": (PICTURE, "application/octet-stream"),
    "json": (json.dumps({"image": BASE64}).encode(), "application/json"),
    "form": (form(('"image"', PICTURE)) + b"--XbX--", FORM),
}


@pytest.mark.parametrize(("body", "content_type"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("encoding", "pack"), PACKED.values(), ids=PACKED)
async def test_a_compressed_body_is_unpacked(
    port: Port, gateway: FakeGateway, encoding: str, pack: Pack, body: bytes, content_type: str
) -> None:
    answer = await port.exchange(post("predict", pack(body), content_type, {"Content-Encoding": encoding}))
    assert answer.status == 200, answer.body
    assert [asked.image for asked in gateway.requests] == [PICTURE]


LIMIT_JSON = json.dumps({"image": "A" * 50 * 2**20}).encode()


@pytest.mark.parametrize(
    ("unpacks_to", "content_type", "reason"),
    [
        (bytes(MAX_IMAGE_BYTES + 1), "image/png", "PICTURE_TOO_LARGE"),
        (bytes(64 * 2**20), "image/png", "PICTURE_TOO_LARGE"),
        (bytes(64 * 2**20), "application/json", "BODY_TOO_LARGE"),
        (LIMIT_JSON, "application/json", "BODY_TOO_LARGE"),
        (form(('"image"', bytes(64 * 2**20))) + b"--XbX--", FORM, "BODY_TOO_LARGE"),
    ],
    ids=["one byte too many", "raw", "zeros for json", "json", "form"],
)
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_bomb_is_refused(
    port: Port, gateway: FakeGateway, encoding: str, pack: Pack, unpacks_to: bytes, content_type: str, reason: str
) -> None:
    answer = await port.exchange(post("predict", pack(unpacks_to), content_type, {"Content-Encoding": encoding}))
    assert (answer.status, answer.json["reason"]) == (413, reason)
    assert gateway.requests == []


async def test_a_bomb_is_refused_before_it_is_unpacked(http: httpx.AsyncClient) -> None:
    bomb = gzip.compress(bytes(80 * 2**20))
    assert len(bomb) < MAX_IMAGE_BYTES
    tracemalloc.start()
    try:
        response = await http.post(
            f"{URL}:predict", content=bomb, headers={"Content-Type": "image/png", "Content-Encoding": "gzip"}
        )
        assert response.status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


async def test_a_picture_of_the_largest_size_may_be_compressed(port: Port, gateway: FakeGateway) -> None:
    picture = os.urandom(MAX_IMAGE_BYTES)
    for packed in (gzip.compress(picture), gzip.compress(picture, 0)):
        assert len(packed) > MAX_IMAGE_BYTES
        answer = await port.exchange(post("predict", packed, headers={"Content-Encoding": "gzip"}))
        assert answer.status == 200, answer.body
    assert [asked.image for asked in gateway.requests] == [picture] * 2


# Without the time, so that two processes collect the same tests.
WHOLE = gzip.compress(PICTURE, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "reason", "says"),
    [
        ("br", PICTURE, 415, "UNSUPPORTED_ENCODING", "use gzip or deflate, or leave it out"),
        ("zstd", PICTURE, 415, "UNSUPPORTED_ENCODING", "use gzip or deflate"),
        ("compress", PICTURE, 415, "UNSUPPORTED_ENCODING", "use gzip or deflate"),
        ("gzip, gzip", gzip.compress(WHOLE, mtime=0), 415, "UNSUPPORTED_ENCODING", "gzip, gzip is not understood"),
        ("gzip, br", PICTURE, 415, "UNSUPPORTED_ENCODING", "use gzip or deflate"),
        ("gzip", PICTURE, 400, "INVALID_REQUEST", "not valid gzip"),
        ("gzip", zlib.compress(PICTURE), 400, "INVALID_REQUEST", "not valid gzip"),
        ("gzip", WHOLE[:-1], 400, "INCOMPLETE_BODY", "ends before its gzip"),
        ("gzip", WHOLE[:10], 400, "INCOMPLETE_BODY", "ends before its gzip"),
        ("gzip", b"", 400, "INCOMPLETE_BODY", "ends before its gzip"),
        ("gzip", WHOLE[:-8] + bytes(8), 400, "INVALID_REQUEST", "not valid gzip"),
        ("gzip", WHOLE + b"more", 400, "INVALID_REQUEST", "not valid gzip"),
        ("gzip", WHOLE + WHOLE[:-1], 400, "INCOMPLETE_BODY", "ends before its gzip"),
        ("deflate", PICTURE, 400, "INVALID_REQUEST", "not valid deflate"),
        ("deflate", zlib.compress(PICTURE)[:-1], 400, "INCOMPLETE_BODY", "ends before its deflate"),
        ("deflate", raw_deflate(PICTURE)[:-1], 400, "INCOMPLETE_BODY", "ends before its deflate"),
        ("deflate", zlib.compress(PICTURE) + b"more", 400, "INVALID_REQUEST", "bytes follow its end"),
        ("deflate", b"x", 400, "INCOMPLETE_BODY", "ends before its deflate"),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(
    port: Port, gateway: FakeGateway, encoding: str, body: bytes, status: int, reason: str, says: str
) -> None:
    answer = await port.exchange(post("predict", body, headers={"Content-Encoding": encoding}))
    assert (answer.status, answer.json["reason"]) == (status, reason), answer.json
    assert says in answer.json["detail"]
    assert answer.headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)
    assert gateway.requests == []


@pytest.mark.parametrize("pack", [zlib.compress, raw_deflate])
@pytest.mark.parametrize("size", [1, 2, 7, 2**16])
@pytest.mark.parametrize("data", [b"", b"a", bytes(3 * 2**16), bytes(3 * 2**16 + 100), os.urandom(2**17 + 1)])
async def test_chunks_of_any_size_unpack_to_the_same(pack: Pack, size: int, data: bytes) -> None:
    packed = pack(data)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(packed), size):
            yield packed[start : start + size]

    pieces = [piece async for piece in unpacked(chunks(), "deflate")]
    assert b"".join(pieces) == data
    assert all(len(piece) <= 2**16 for piece in pieces)
