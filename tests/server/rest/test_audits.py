"""Audits over REST: the list, JSON or the page by negotiation, and what caches and browsers are told."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jsonschema
import pytest
from google.protobuf import json_format

from server.audited import AUDIT, BARE, CONTENTS, MODEL, packed, serving
from server.rest.sockets import Port
from whybox import v1
from whybox_server.access.checking import Access
from whybox_server.gateway import audits as gateway_audits
from whybox_server.gateway.audits import MAX_DOWNLOADS, AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.spool import Spool
from whybox_server.rest.openapi import document

LIST = f"/v1/models/{MODEL}/audits"
URL = f"{LIST}/{AUDIT}"
ETAGS = {name: f'"{hashlib.sha256(content).hexdigest()}"' for name, content in CONTENTS.items()}
DOCUMENT = document(access=Access(None), max_image_bytes=100_000, max_timeout=120)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    archives = packed(tmp_path)
    with AuditFiles(archives) as audits, Spool() as spool:
        yield serving(archives, audits, spool)


async def test_the_list_is_the_message_in_json(http: httpx.AsyncClient, gateway: Gateway) -> None:
    body = (await http.get(LIST)).json()
    assert json_format.ParseDict(body, v1.ListAuditsResponse()).audits == gateway.list_audits(MODEL)
    [listed] = body["audits"]
    assert (listed["flags"], listed["differences"]) == ({"flagged": 1, "not_detected": 2}, [])
    assert [file["size"] for file in listed["files"]] == [len(content) for content in CONTENTS.values()]
    assert (await http.get(f"/v1/models/{BARE}/audits", params={"version": "1"})).json() == {"audits": []}


@pytest.mark.parametrize(
    ("accept", "query", "format_"),
    [
        (None, {}, "json"),
        ("", {}, "json"),
        ("*/*", {}, "json"),
        ("application/json", {}, "json"),
        ("application/*", {}, "json"),
        ("application/json, application/problem+json", {}, "json"),
        ("application/json, text/html;q=0.9", {}, "json"),
        ("text/html;q=0, */*", {}, "json"),
        ("text/html", {}, "html"),
        ("TEXT/HTML", {}, "html"),
        ("text/*", {}, "html"),
        (BROWSER, {}, "html"),
        ("application/json;q=0, */*", {}, "html"),
        ("application/json;q=0.5, text/html", {}, "html"),
        (BROWSER, {"format": "json"}, "json"),
        ("application/json", {"format": "html"}, "html"),
        ("image/png", {"format": "html", "version": "1"}, "html"),
    ],
)
async def test_the_format_is_negotiated(
    http: httpx.AsyncClient, accept: str | None, query: dict[str, str], format_: str
) -> None:
    # httpx accepts everything by itself.
    http.headers.pop("accept")
    response = await http.get(URL, params=query, headers={} if accept is None else {"Accept": accept})
    assert response.status_code == 200
    assert response.content == CONTENTS[format_]
    media_type = {"json": "application/json", "html": "text/html; charset=utf-8"}[format_]
    assert response.headers["content-type"] == media_type
    assert response.headers["content-length"] == str(len(CONTENTS[format_]))
    assert response.headers["etag"] == ETAGS[format_]
    assert response.headers["vary"] == "Accept"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    policy = response.headers.get("content-security-policy")
    if format_ == "json":
        assert policy is None
    else:
        assert {"default-src 'none'", "img-src data:", "frame-ancestors 'none'", "sandbox"} <= set(policy.split("; "))
        assert "script" not in policy


@pytest.mark.parametrize("accept", ["image/png", "text/plain, application/xml", "*/*;q=0", "text/html;q=0"])
async def test_neither_format_is_accepted(http: httpx.AsyncClient, accept: str) -> None:
    response = await http.get(URL, headers={"Accept": accept})
    assert (response.status_code, response.json()["reason"]) == (406, "NOT_ACCEPTABLE")
    assert response.headers["content-type"] == "application/problem+json"
    assert "format=json or html" in response.json()["detail"]


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_known_is_not_sent_again(http: httpx.AsyncClient, method: str, known: str) -> None:
    headers = {"Accept": "text/html", "If-None-Match": known.format(ETAGS["html"])}
    response = await http.request(method, URL, headers=headers)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == ETAGS["html"]
    assert response.headers["vary"] == "Accept"
    # The other format is another file.
    assert (await http.get(URL, headers={"If-None-Match": ETAGS["html"]})).status_code == 200


@pytest.mark.parametrize("format_", CONTENTS)
async def test_a_head_has_the_headers_alone(http: httpx.AsyncClient, format_: str) -> None:
    head, got = [await http.request(method, URL, params={"format": format_}) for method in ("HEAD", "GET")]
    assert head.content == b""
    for response in (head, got):
        response.headers.pop("x-request-id")
    assert head.headers == got.headers


@pytest.mark.parametrize(
    ("path", "status", "reason", "words"),
    [
        (f"{LIST}/other", 404, "UNKNOWN_AUDIT", f"it has {AUDIT}"),
        (f"{LIST}/{'x' * 300}", 404, "UNKNOWN_AUDIT", "…"),
        (f"{LIST}/..%2e", 404, "UNKNOWN_AUDIT", "'...'"),
        (f"{LIST}/%2e%2e%2fmanifest.json", 404, "UNKNOWN_AUDIT", "'../manifest.json'"),
        (f"{LIST}/a%2Fb", 404, "UNKNOWN_AUDIT", "'a/b'"),
        (f"{LIST}/", 404, "UNKNOWN_AUDIT", f"has no audit ''; it has {AUDIT}"),
        (f"{LIST}/%00", 404, "UNKNOWN_AUDIT", r"'\x00'"),
        (f"{LIST}/%ff", 404, "UNKNOWN_AUDIT", "has no audit"),
        (f"/v1/models/{BARE}/audits/{AUDIT}", 404, "UNKNOWN_AUDIT", "--bank AUDIT"),
        ("/v1/models/other/audits", 404, "UNKNOWN_MODEL", "served: bare"),
        (f"/v1/models/other/audits/{AUDIT}", 404, "UNKNOWN_MODEL", "served: bare"),
        (f"{LIST}?version=2", 404, "UNKNOWN_VERSION", "leave the version out"),
        (f"{URL}?version=2", 404, "UNKNOWN_VERSION", "leave the version out"),
        (f"{URL}?format=pdf", 400, "INVALID_REQUEST", "format must be one of json, html"),
        (f"{URL}?format=json&format=html", 400, "INVALID_REQUEST", "twice"),
        (f"{URL}?colour=red", 400, "INVALID_REQUEST", "known here: format, version"),
        (f"{LIST}?format=json", 400, "INVALID_REQUEST", "known here: version"),
    ],
)
async def test_what_is_refused_says_why(
    http: httpx.AsyncClient, port: Port, path: str, status: int, reason: str, words: str
) -> None:
    """Also byte by byte, because clients tidy paths up."""
    request = f"GET {path} HTTP/1.1\r\nHost: whybox\r\nAccept: image/png\r\n\r\n"
    raw = await port.exchange(request.encode())
    for answered, body in ((raw.status, raw.json), ((got := await http.get(path)).status_code, got.json())):
        assert (answered, body["reason"]) == (status, reason)
        assert words in body["detail"]
    assert raw.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_an_audit_is_read_only(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, URL)
    assert (response.status_code, response.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")


async def test_dots_are_an_unknown_id_too(port: Port) -> None:
    answer = await port.exchange(f"GET {LIST}/.. HTTP/1.1\r\nHost: whybox\r\n\r\n".encode())
    assert (answer.status, answer.json["reason"]) == (404, "UNKNOWN_AUDIT")


async def test_the_page_over_a_socket(port: Port) -> None:
    request = f"GET {URL} HTTP/1.1\r\nHost: whybox\r\nAccept: {BROWSER}\r\n\r\n"
    answer = await port.exchange(request.encode())
    assert (answer.status, answer.body) == (200, CONTENTS["html"])
    assert answer.headers["content-length"] == str(len(CONTENTS["html"]))
    assert "transfer-encoding" not in answer.headers


async def test_calls_are_counted_by_their_route(
    http: httpx.AsyncClient, samples: Callable[[str], dict[str, float]]
) -> None:
    for path in (LIST, URL, f"{LIST}/a", f"{LIST}/b"):
        await http.get(path)
    routes = [re.findall(r'code="(\w+)".*route="([^"]+)"', labels) for labels in samples("whybox_requests_total")]
    template = "/v1/models/{model}/audits"
    assert sorted(routes) == [
        [("NOT_FOUND", f"{template}/{{audit}}")],
        [("OK", template)],
        [("OK", f"{template}/{{audit}}")],
    ]


async def test_readers_beyond_the_limit_are_told_to_wait(http: httpx.AsyncClient, gateway: Gateway) -> None:
    asked = v1.GetAuditRequest(model=MODEL, audit=AUDIT)
    file = gateway.get_audit(asked)
    held = [gateway.read_audit(asked, file, 60) for _ in range(MAX_DOWNLOADS)]
    for pieces in held:
        await anext(pieces)
    response = await http.get(URL)
    assert (response.status_code, response.json()["reason"]) == (503, "QUEUE_FULL")
    assert response.headers["retry-after"] == "1"
    # What reads no file is answered.
    assert (await http.head(URL)).status_code == (await http.get(LIST)).status_code == 200
    for pieces in held:
        await pieces.aclose()
    assert (await http.get(URL)).status_code == 200


async def test_a_reader_who_stops_reading_makes_room(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """More readers than there is room for, one after the other; each leaves in the middle."""
    monkeypatch.setattr(gateway_audits, "MAX_DOWNLOADS", 1)
    for _ in range(3):
        async with port.connect() as connection:
            await connection.send(f"GET {URL}?format=html HTTP/1.1\r\nHost: whybox\r\n\r\n".encode())
            assert (await connection.reader.read(12)).endswith(b"200")
        statuses = [503]
        while statuses[-1] == 503:
            statuses.append((await port.exchange(f"GET {URL} HTTP/1.1\r\nHost: whybox\r\n\r\n".encode())).status)
        assert statuses[-1] == 200


@pytest.mark.parametrize("path", [LIST, URL])
async def test_json_is_as_described(http: httpx.AsyncClient, path: str) -> None:
    described = path.replace(MODEL, "{model}").replace(AUDIT, "{audit}")
    responses = DOCUMENT["paths"][described]["get"]["responses"]
    content = responses["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate((await http.get(path)).json())
    assert set(content) == {"application/json", *(["text/html"] if path == URL else [])}
    assert ("406" in responses, "304" in responses) == (path == URL, path == URL)
