"""Answers are compressed for those who accept it, if they are JSON, whole and not small."""

import gzip
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from server.conftest import MODEL, FakeGateway
from whybox_server.rest.bodies.compression import LEAST_BYTES, CompressionMiddleware

CONTENT = {"labels": [f"label {number}" for number in range(1000)]}
LARGE = {"labels": [f"label {number}" for number in range(50_000)]}


async def whole(request: Request) -> Response:
    content: Any = LARGE if "large" in request.query_params else CONTENT
    media_type = request.query_params.get("type", "application/json")
    headers = {"Vary": "Accept"} if "vary" in request.query_params else None
    return Response(json.dumps(content), media_type=media_type, headers=headers)


async def sized(request: Request) -> Response:
    return Response(b" " * int(request.query_params["bytes"]), media_type="application/json")


async def streamed(_: Request) -> Response:
    lines = (b"x" * 2000 for _ in range(3))
    return StreamingResponse(lines, media_type="application/json", headers={"ETag": '"tag"'})


async def refused(_: Request) -> Response:
    return JSONResponse({"detail": "x" * 2000}, 404, media_type="application/problem+json")


@pytest.fixture
def asked() -> httpx.AsyncClient:
    routes = [Route(f"/{each.__name__}", each) for each in (whole, sized, streamed, refused)]
    app = Starlette(routes=routes, middleware=[Middleware(CompressionMiddleware)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox")


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("br, gzip;q=0, *;q=0", False),
        ("identity", False),
        ("br", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("large", [False, True])
async def test_who_accepts_it(asked: httpx.AsyncClient, accepted: str | None, compressed: bool, large: bool) -> None:
    asked.headers.pop("accept-encoding")
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    request = asked.build_request("GET", "/whole", params={"large": ""} if large else {}, headers=headers)
    response = await asked.send(request, stream=True)
    sent = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert response.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) == len(sent)
    assert json.loads(gzip.decompress(sent) if compressed else sent) == (LARGE if large else CONTENT)


@pytest.mark.parametrize(
    ("path", "compressed"),
    [
        ("/whole?type=application/json;charset=utf-8", True),
        ("/whole?type=application/openapi%2Bjson", True),
        ("/refused", True),
        ("/whole?type=image/png", False),
        ("/whole?type=application/x-ndjson", False),
        ("/whole?type=application/octet-stream", False),
        ("/whole?type=text/html", False),
        ("/streamed", False),
        (f"/sized?bytes={LEAST_BYTES - 1}", False),
        (f"/sized?bytes={LEAST_BYTES}", True),
        ("/sized?bytes=0", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_compressed(asked: httpx.AsyncClient, method: str, path: str, compressed: bool) -> None:
    response = await asked.request(method, path)
    assert (response.headers.get("content-encoding") == "gzip") is compressed
    assert ("accept-encoding" in response.headers.get("vary", "").lower()) is compressed


async def test_headers_of_others_stay(asked: httpx.AsyncClient) -> None:
    assert (await asked.get("/whole?vary")).headers["vary"] == "Accept, Accept-Encoding"
    streamed = await asked.get("/streamed")
    assert (streamed.headers["etag"], streamed.content) == ('"tag"', 6000 * b"x")


@pytest.mark.parametrize(
    ("accept", "encoding"), [("application/json", "gzip"), ("application/x-ndjson", None), ("image/png", None)]
)
async def test_in_the_application(http: httpx.AsyncClient, gateway: FakeGateway, accept: str, encoding: str) -> None:
    gateway.parts = 1
    gateway.answer.explanations[0].overlay = b"\x89PNG" + bytes(2000)
    sent = {"content": b"picture", "headers": {"content-type": "image/png", "accept": accept}}
    action = "analyze" if "ndjson" in accept else "explain"
    response = await http.post(f"/v1/models/{MODEL}:{action}", **sent)  # type: ignore[arg-type]
    assert response.status_code == 200
    assert response.headers["content-type"] == accept
    assert response.headers.get("content-encoding") == encoding
    if encoding:
        # The id is set further inside.
        assert response.headers["x-request-id"]
        assert response.json()["model"] == MODEL
