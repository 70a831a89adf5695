"""A body that is not complete is refused, whatever it holds."""

import asyncio
import json

import pytest

from server.conftest import FakeGateway
from server.rest.sending import BASE64, PICTURE
from server.rest.sockets import Port, form, post

FORM = "multipart/form-data; boundary=XbX"
CHUNKED = {"Content-Length": "", "Transfer-Encoding": "chunked"}
PARTS = form(('"image"; filename="a.jpg"', PICTURE), ('"top_k"', b"1"))
JSON = json.dumps({"image": BASE64, "top_k": 1}).encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize("end", [b"--XbX--\r\n", b"--XbX--", b"--XbX--\r\nAn epilogue.", b"--XbX-- \r\n--XbX--\r\n"])
async def test_a_form_ends_with_its_closing_boundary(port: Port, gateway: FakeGateway, end: bytes) -> None:
    answer = await port.exchange(post("predict", PARTS + end, FORM))
    assert answer.status == 200, answer.body
    [asked] = gateway.requests
    assert (asked.image, asked.prediction.top_k) == (PICTURE, 1)


@pytest.mark.parametrize(
    "body",
    [
        PARTS,
        PARTS + b"--XbX-\r\n",
        PARTS + b"--XbX\r\n",
        PARTS + b"--XbX",
        PARTS + b"--Xb--\r\n",
        PARTS[:-2],
        PARTS[:-3],
        PARTS[: PARTS.index(b"top_k")],
        PARTS[: PARTS.index(b"not really")],
        b"--XbX\r\n",
        b"--XbX-",
        b"\r\n",
        b"",
    ],
    ids=lambda body: repr(body[-12:]),
)
async def test_a_form_without_its_closing_boundary_is_refused(port: Port, gateway: FakeGateway, body: bytes) -> None:
    answer = await port.exchange(post("predict", body, FORM))
    assert (answer.status, answer.json["reason"]) == (400, "INCOMPLETE_BODY")
    assert "--XbX--" in answer.json["detail"]
    assert gateway.requests == []


BODIES = {
    "raw": (PICTURE, "image/jpeg"),
    "octets": (PICTURE, "application/octet-stream"),
    "json": (JSON, "application/json"),
    "form": (PARTS + b"--XbX--\r\n", FORM),
    "nothing": (b"", "image/png"),
}


@pytest.mark.parametrize(("body", "content_type"), BODIES.values(), ids=BODIES)
async def test_a_body_shorter_than_its_length_is_refused(
    port: Port, gateway: FakeGateway, body: bytes, content_type: str
) -> None:
    request = post("predict", body, content_type, {"Content-Length": str(len(body) + 1)})
    async with port.connect() as connection:
        await connection.send(request)
        connection.writer.write_eof()
        answer = await connection.answer()
        assert await connection.closed()
    assert (answer.status, answer.json["reason"]) == (400, "INCOMPLETE_BODY")
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"after {len(body)} bytes, before the {len(body) + 1} that Content-Length declares" in answer.json["detail"]
    assert gateway.requests == []


@pytest.mark.parametrize("missing", [b"0\r\n\r\n", b"\r\n0\r\n\r\n", b"e\r\n0\r\n\r\n"])
@pytest.mark.parametrize(("body", "content_type"), list(BODIES.values())[:4], ids=list(BODIES)[:4])
async def test_a_chunked_body_without_its_last_chunk_is_refused(
    port: Port, gateway: FakeGateway, body: bytes, content_type: str, missing: bytes
) -> None:
    whole = post("predict", chunk(body + b"e" if missing[:1] == b"e" else body) + b"0\r\n\r\n", content_type, CHUNKED)
    answer = await port.exchange(whole.removesuffix(missing), then_close=True)
    assert (answer.status, answer.json["reason"]) == (400, "INCOMPLETE_BODY")
    assert gateway.requests == []


@pytest.mark.parametrize(("body", "content_type"), list(BODIES.values())[:4], ids=list(BODIES)[:4])
async def test_whole_bodies_are_taken(port: Port, gateway: FakeGateway, body: bytes, content_type: str) -> None:
    assert (await port.exchange(post("predict", body, content_type))).status == 200
    assert (await port.exchange(post("predict", chunk(body) + b"0\r\n\r\n", content_type, CHUNKED))).status == 200
    assert [asked.image for asked in gateway.requests] == [PICTURE] * 2


async def test_hanging_up_after_a_whole_request_still_ends_the_work(port: Port, gateway: FakeGateway) -> None:
    gateway.waits = True
    async with port.connect() as connection:
        await connection.send(post("predict", PICTURE))
        async with asyncio.timeout(5):
            await gateway.started.wait()
            connection.writer.close()
            await gateway.cancelled.wait()
