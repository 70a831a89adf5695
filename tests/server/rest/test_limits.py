"""How much a REST request may hold, and that no more of it is read."""

import base64
from typing import Any

import pytest

from server.rest.sending import BASE64, FILES, URL, Sent, scope
from whybox_server.validation.explanations import MAX_BASELINE_BYTES, MAX_EXPLANATIONS

LIMIT = 100_000
PADDED = base64.b64encode(bytes(LIMIT + 1)).decode()


async def chunks(count):
    for _ in range(count):
        yield bytes(1000)


@pytest.mark.parametrize(
    "sent",
    [
        {"content": bytes(LIMIT + 1), "headers": {"Content-Type": "image/png"}},
        {"content": chunks(101), "headers": {"Content-Type": "image/png"}},
        {"content": bytes(LIMIT + 1)},
        {"json": {"image": PADDED}},
        {"json": {"image": base64.b64encode(bytes(5 * LIMIT)).decode()}},
        {"files": {"image": ("a", bytes(LIMIT + 1))}},
        {"files": {"image": ("a", bytes(5 * LIMIT))}},
    ],
    ids=["declared", "chunked", "no type", "json", "larger json", "form", "larger form"],
)
async def test_a_picture_that_is_too_large_is_refused(http, gateway, sent):
    response = await http.post(f"{URL}:predict", **sent)
    problem = response.json()
    assert (response.status_code, problem["reason"]) == (413, "PICTURE_TOO_LARGE")
    assert [error["field"] for error in problem["errors"]] == ["image"]
    assert gateway.requests == []


# A little more than the largest form and the largest JSON.
FORM_TOO_LARGE = LIMIT + MAX_BASELINE_BYTES + 2**20 + 1
JSON_TOO_LARGE = (LIMIT + 16 * MAX_BASELINE_BYTES) * 4 // 3 + 2**20 + 100


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"image": BASE64, "colour": "x" * JSON_TOO_LARGE}},
        {"json": {"image": BASE64, "baseline_image": "A" * JSON_TOO_LARGE}},
        {"json": {"image": "A" * JSON_TOO_LARGE}},
        {"files": FILES | {"baseline_image": ("b", bytes(FORM_TOO_LARGE))}},
        {"files": {"image": ("a", bytes(FORM_TOO_LARGE))}},
    ],
    ids=["json", "json baseline", "json picture", "form baseline", "form picture"],
)
async def test_a_body_that_is_too_large_tells_what_it_may_hold(http, gateway, sent):
    response = await http.post(f"{URL}:explain", **sent)
    problem = response.json()
    assert (response.status_code, problem["reason"]) == (413, "BODY_TOO_LARGE")
    # It was not read, so it is not known which of them is too large.
    assert "errors" not in problem
    assert f"a picture of at most {LIMIT:,}, baselines of at most {MAX_BASELINE_BYTES:,} each" in problem["detail"]
    assert gateway.requests == []


async def test_every_map_can_have_the_largest_baseline(http, gateway):
    largest = base64.b64encode(bytes(MAX_BASELINE_BYTES)).decode()
    picture = base64.b64encode(bytes(LIMIT)).decode()
    maps = [{"method": "occlusion", "baseline_image": largest}] * MAX_EXPLANATIONS
    response = await http.post(f"{URL}:analyze", json={"image": picture, "explanations": maps})
    assert response.status_code == 200, response.text
    [asked] = gateway.requests
    assert [len(options.baseline_image) for options in asked.explanations] == [MAX_BASELINE_BYTES] * MAX_EXPLANATIONS
    form = {"image": ("a", bytes(LIMIT)), "baseline_image": ("b", bytes(MAX_BASELINE_BYTES))}
    response = await http.post(f"{URL}:explain", files=form, data={"method": ["m" * 1000] * MAX_EXPLANATIONS})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("place", ["query", "form", "json"])
async def test_few_bytes_cannot_ask_for_more_maps_than_memory_holds(http, gateway, place):
    many = {"method": ["m"] * 49, "target_class": [7] * 49}
    baseline = bytes(MAX_BASELINE_BYTES)
    files = FILES | {"baseline_image": ("b", baseline)}
    sent: dict[str, Sent] = {
        "query": {"files": files, "params": many},
        "form": {"files": files, "data": many},
        "json": {"json": {"image": BASE64, "baseline_image": base64.b64encode(baseline).decode(), **many}},
    }
    response = await http.post(f"{URL}:explain", **sent[place])
    assert response.status_code == 400
    assert "2401 explanations; ask for at most 16" in response.json()["detail"]
    assert gateway.requests == []


@pytest.mark.parametrize(
    "sent",
    [
        {"content": bytes(LIMIT), "headers": {"Content-Type": "image/png"}},
        {"content": chunks(100), "headers": {"Content-Type": "image/png"}},
        {"json": {"image": base64.b64encode(bytes(LIMIT)).decode()}},
        {"files": {"image": ("a", bytes(LIMIT))}},
    ],
    ids=["declared", "chunked", "json", "form"],
)
async def test_a_picture_of_the_largest_size_is_taken(http, gateway, sent):
    assert (await http.post(f"{URL}:predict", **sent)).status_code == 200
    assert len(gateway.requests[0].image) == LIMIT


async def test_no_more_is_read_than_is_allowed(app):
    """The body is refused while it arrives, or before where it declares its size."""
    for headers, most in ([], 101), ([(b"content-length", b"200000")], 0):
        read = 0

        async def receive():
            nonlocal read
            read += 1
            return {"type": "http.request", "body": bytes(1000), "more_body": True}

        sent: list[dict[str, Any]] = []

        async def send(message, sent=sent):
            sent.append(message)

        await app(scope(":predict", [(b"content-type", b"image/png"), *headers]), receive, send)
        assert sent[0]["status"] == 413
        assert read == most
