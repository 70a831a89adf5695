"""What the client sends, and the real server does not show."""

import json
from urllib.parse import unquote

import httpx
import pytest

from whybox import v1
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Call


def test_the_path_names_the_model_and_the_query_the_time() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    transport = RestTransport("http://elsewhere:80/mounted", httpx.MockTransport(answer))
    sent = v1.AnalyzeRequest(model="a/b c?d", image=b"picture", seed=3)
    transport.analyze(sent, Call(timeout=2.5, request_id="abc"))
    transport.get_model(v1.GetModelRequest(model="a/b c?d", version="2"), Call(timeout=2.5))
    transport.list_audits(v1.ListAuditsRequest(model="a/b", version="2"), Call(timeout=2.5))
    transport.get_audit(v1.GetAuditRequest(model="a/b", audit="../c d?", format="json"), Call(timeout=2.5))
    transport.close()
    analyzed, asked, listed, audited = requests
    assert analyzed.url.raw_path == b"/mounted/v1/models/a%2Fb%20c%3Fd:analyze?timeout=2.5"
    assert json.loads(analyzed.content) == {"image": "cGljdHVyZQ==", "seed": 3}
    assert analyzed.headers["x-request-id"] == "abc"
    assert asked.url.raw_path == b"/mounted/v1/models/a%2Fb%20c%3Fd?version=2"
    assert listed.url.raw_path == b"/mounted/v1/models/a%2Fb/audits?version=2"
    assert audited.url.raw_path == b"/mounted/v1/models/a%2Fb/audits/..%2Fc%20d%3F?format=json"


@pytest.mark.parametrize("name", [".", "..", "a/..", "%2e%2e"])
def test_dots_do_not_leave_the_path(name: str) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    transport = RestTransport("http://elsewhere:80/mounted", httpx.MockTransport(answer))
    transport.get_model(v1.GetModelRequest(model=name), Call(timeout=2.5))
    transport.get_audit(v1.GetAuditRequest(model="m", audit=name, format="json"), Call(timeout=2.5))
    transport.analyze(v1.AnalyzeRequest(model=name), Call(timeout=2.5))
    transport.close()
    segments = [request.url.raw_path.partition(b"?")[0].decode().split("/") for request in requests]
    assert [[unquote(segment) for segment in each] for each in segments] == [
        ["", "mounted", "v1", "models", name],
        ["", "mounted", "v1", "models", "m", "audits", name],
        ["", "mounted", "v1", "models", f"{name}:analyze"],
    ]
