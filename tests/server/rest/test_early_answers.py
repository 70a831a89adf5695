"""What is wrong before the body is answered before the body."""

import asyncio
from typing import Any

import pytest

from server.conftest import MAX_IMAGE_BYTES, FakeGateway
from server.rest.sending import MODEL, PICTURE, URL, scope
from server.rest.sockets import Port, post

EXPECT = {"Expect": "100-continue"}
UNKNOWN = "/v1/models/other"

# The model's URL, the action with its query, further headers, status.
EARLY = {
    "unknown model": (UNKNOWN, "predict", {}, 404),
    "unknown model of a form": (UNKNOWN, "predict", {"Content-Type": "multipart/form-data; boundary=x"}, 404),
    "unknown version": (URL, "predict?version=2", {}, 404),
    "unknown action": (URL, "guess", {}, 404),
    "unknown option": (URL, "predict?topk=2", {}, 400),
    "wrong option": (URL, "predict?top_k=two", {}, 400),
    "no picture's type": (URL, "predict", {"Content-Type": "text/plain"}, 415),
    "too large": (URL, "predict", {"Content-Length": str(MAX_IMAGE_BYTES + 1)}, 413),
}


@pytest.mark.parametrize("expect", [EXPECT, {}], ids=["held back", "sent anyway"])
@pytest.mark.parametrize(("model", "action", "headers", "status"), EARLY.values(), ids=EARLY)
async def test_no_body_is_needed_to_refuse(
    port: Port,
    gateway: FakeGateway,
    model: str,
    action: str,
    headers: dict[str, str],
    status: int,
    expect: dict[str, str],
) -> None:
    head = post(action, b"", model=model, headers={"Content-Length": "90000", **headers, **expect})
    async with port.connect() as connection:
        await connection.send(head)
        answer = await connection.answer()
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        if expect:
            # The body is not coming, so that this connection cannot be used again.
            assert answer.headers["connection"] == "close"
            assert await connection.closed()
        else:
            # It is coming, and is thrown away.
            size = int(headers.get("Content-Length", "90000"))
            await connection.send(bytes(size) + post("predict", PICTURE))
            assert (await connection.answer()).status == 200
    assert len(gateway.requests) == (0 if expect else 1)


async def test_a_body_that_is_needed_is_asked_for(port: Port, gateway: FakeGateway) -> None:
    whole = post("predict", PICTURE, headers=EXPECT)
    async with port.connect() as connection:
        await connection.send(whole.removesuffix(PICTURE))
        async with asyncio.timeout(5):
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(PICTURE)
        answer = await connection.answer()
        assert answer.status == 200
        assert "connection" not in answer.headers
        await connection.send(post("predict", PICTURE))
        assert (await connection.answer()).status == 200
    assert [asked.image for asked in gateway.requests] == [PICTURE] * 2


@pytest.mark.parametrize("content_type", [b"image/png", b"application/json", b"multipart/form-data; boundary=x"])
async def test_nothing_is_read_for_an_unknown_model(app: Any, content_type: bytes) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    asked = scope(":predict", [(b"content-type", content_type)])
    asked["path"] = asked["path"].replace(MODEL, "other")
    await app(asked, receive, send)
    assert sent[0]["status"] == 404
