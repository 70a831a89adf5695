"""Which kind of answer a caller gets."""

from typing import Any

import httpx
import pytest

from messages import message
from server.conftest import FakeGateway
from server.rest.sending import PICTURE, RAW, URL
from whybox import v1
from whybox_server.rest.accept import preferred

JSON, PNG, NDJSON = "application/json", "image/png", "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/html", JSON),
        ("image/png", PNG),
        ("IMAGE/PNG", PNG),
        ("image/png;q=0", JSON),
        ("image/png;q=0.0, */*", JSON),
        ("image/png; q=0.000, application/json", JSON),
        ("image/png;q=0, application/json;q=0", JSON),
        ("image/png, application/json;q=0", PNG),
        ("application/json;q=0, image/*", PNG),
        ("image/png;q=0.2, application/json;q=0.8", JSON),
        ("image/png;q=0.8, application/json;q=0.2", PNG),
        ("image/png;q=0.001", PNG),
        ("image/png;Q=0", JSON),
        ("image/png; q = 0", JSON),
        ("image/png;level=1;q=0.1, application/json;q=0.2", JSON),
        ("application/json, image/png", PNG),
        ("image/png, application/json", PNG),
        ("application/json, image/*", JSON),
        ("image/*, application/json", JSON),
        ("image/*", PNG),
        ("image/*, */*;q=0.8", PNG),
        ("image/*;q=0.5, */*;q=0.8", JSON),
        ("image/*, image/png;q=0", JSON),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", PNG),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", JSON),
        ("*/*;q=0", JSON),
        ("image/png, */*;q=0", PNG),
        # A weight that is none is no weight.
        ("image/png;q=two", PNG),
        ("image/png;q=nan", PNG),
        ("image/png;q=-1", PNG),
        ("image/png;q=", PNG),
        (",,image/png,", PNG),
    ],
)
def test_the_highest_weight_wins(accept: str, kind: str) -> None:
    assert preferred([accept], [PNG]) == kind
    # Several headers are one list.
    assert preferred(accept.split(","), [PNG]) == kind
    assert preferred([accept.replace(PNG, NDJSON).replace("IMAGE/PNG", NDJSON.upper())], []) == JSON


@pytest.mark.parametrize(
    ("action", "kind"), [("explain", PNG), ("robustness", PNG), ("analyze", NDJSON), ("certify", NDJSON)]
)
@pytest.mark.parametrize(
    ("weight", "wins"), [("", True), (";q=1", True), (";q=0.9", True), (";q=0.4", False), (";q=0", False)]
)
async def test_the_weights_are_honoured_for_every_kind(
    http: httpx.AsyncClient, gateway: FakeGateway, action: str, kind: str, weight: str, wins: bool
) -> None:
    gateway.parts = 1
    change = {"distances": [{"state": "found", "adversarial_picture": b"png"}]}
    part: dict[str, Any] = {"robustness": change} if action == "robustness" else {"explanations": [{"overlay": b"png"}]}
    gateway.answer = message(v1.AnalyzeResponse, **part)
    headers = RAW["headers"] | {"Accept": f"{kind}{weight}, application/json;q=0.5"}
    response = await http.post(f"{URL}:{action}", content=PICTURE, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == (kind if wins else JSON)
