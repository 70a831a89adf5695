"""Forms as clients other than ours write them."""

import pytest

from server.conftest import MAX_IMAGE_BYTES, FakeGateway
from server.rest.sending import BASELINE, PICTURE
from server.rest.sockets import Port, form, post

FORM = "multipart/form-data; boundary=XbX"
END = b"--XbX--\r\n"
LARGE = bytes(range(256)) * (MAX_IMAGE_BYTES // 256)

# What follows `name=` in the head of a part that holds a picture.
HEADS = {
    "without a filename": "",
    "with one": '; filename="a.jpg"',
    "with an empty one": '; filename=""',
    "of a type": "\r\nContent-Type: image/jpeg",
    "of no known type": "\r\nContent-Type: text/plain; charset=utf-8",
    "of octets": '; filename="a.jpg"\r\nContent-Type: application/octet-stream',
    "as it is": "\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary",
}


@pytest.mark.parametrize("picture", [PICTURE, LARGE, b"x"], ids=["small", "large", "one byte"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_a_picture_needs_no_filename_and_no_type(
    port: Port, gateway: FakeGateway, head: str, picture: bytes
) -> None:
    body = form((f'"image"{head}', picture), (f'"baseline_image"{head}', BASELINE)) + END
    answer = await port.exchange(post("explain", body, FORM))
    assert answer.status == 200, answer.body
    [asked] = gateway.requests
    assert asked.image == picture
    assert [options.baseline_image for options in asked.explanations] == [BASELINE]


IMAGE = ('"image"', PICTURE)


# The parts, the field of the error, what the detail says.
@pytest.mark.parametrize(
    ("parts", "field", "says"),
    [
        ([IMAGE, IMAGE], "image", "given twice"),
        ([('"image"; filename="a.jpg"', PICTURE), IMAGE], "image", "given twice"),
        ([IMAGE] * 3, None, "at most 2"),
        ([('"image"', b"")], "image", "no picture"),
        ([IMAGE, ('"top_k"; filename="a.txt"', b"1")], "top_k", "must be text"),
        ([IMAGE, ('"top_k"', b"1" * (2**16 + 1))], "top_k", "more than 65,536 bytes"),
        ([IMAGE, ('"version"', b"\xff")], "version", "UTF-8"),
        ([IMAGE, ('"\xff"', b"1")], None, None),
        ([IMAGE, *[('"top_k"', b"1")] * 101], None, "at most 100"),
        ([IMAGE, ('"top_k"', b"1"), ('"top_k"', b"2")], "top_k", "given twice"),
        ([('"image"\r\nContent-Transfer-Encoding: base64', b"AAAA")], "image", "base64; send its bytes as they are"),
        ([('""; filename="a.jpg"', PICTURE)], "", "must be text"),
    ],
)
async def test_what_no_form_may_hold_is_named(
    port: Port, gateway: FakeGateway, parts: list[tuple[str, bytes]], field: str | None, says: str | None
) -> None:
    answer = await port.exchange(post("predict", form(*parts) + END, FORM))
    assert answer.status == 400, answer.body
    if says is not None:
        assert says in answer.json["detail"]
        assert [error["field"] for error in answer.json.get("errors", ())] == ([] if field is None else [field])
    assert gateway.requests == []


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
async def test_a_form_names_its_boundary(port: Port, content_type: str) -> None:
    answer = await port.exchange(post("predict", form(IMAGE) + END, content_type))
    assert (answer.status, "boundary" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Disposition: form-data\r\n",
        b'--XbX\r\nContent-Disposition: form-data; name="image"\n\n' + PICTURE + b"\r\n--XbX--",
        b"--XbX\r\n\r\n" + PICTURE + b"\r\n--XbX--",
        b"--XbX\r\nContent-Disposition: form-data\r\n\r\n" + PICTURE + b"\r\n--XbX--",
    ],
)
async def test_a_malformed_form_is_refused(port: Port, body: bytes) -> None:
    answer = await port.exchange(post("predict", body, FORM))
    assert answer.status == 400
    assert answer.json["reason"] in ("INVALID_REQUEST", "INCOMPLETE_BODY")
