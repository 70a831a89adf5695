"""What REST answers: messages, streams, drawings, problems and the pages beside them."""

import asyncio
import json
import logging
import math
import re

import httpx
import pytest
from google.protobuf import json_format

from messages import message
from server.rest.sending import ALL_PARTS, MODEL, PICTURE, RAW, URL, request, scope
from whybox import v1
from whybox.v1 import errors


async def test_the_answer_is_the_message_in_json(http, gateway):
    response = await http.post(f"{URL}:analyze", **RAW)
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    # SerializeToString, because NaN is not equal to itself.
    parsed = json_format.ParseDict(body, v1.AnalyzeResponse())
    assert parsed.SerializeToString(deterministic=True) == gateway.answer.SerializeToString(deterministic=True)
    assert body["explanations"][0]["convergence_delta"] == "NaN"
    assert body["robustness"]["distances"][0]["gradient_evaluations"] == 0
    assert "baseline_logit" not in body["explanations"][0]


@pytest.mark.parametrize(
    ("params", "seconds"),
    [({}, 30.0), ({"timeout": "2.5"}, 2.5), ({"timeout": "1e2"}, 100.0), ({"timeout": "500"}, 120.0)],
)
async def test_the_timeout_has_a_default_and_a_limit(http, gateway, params, seconds):
    await http.post(f"{URL}:predict", **RAW, params=params)
    assert gateway.timeouts == [seconds]
    assert gateway.max_message_bytes == [math.inf]


class HangingUp:
    """A caller that sends a request, and hangs up when told to."""

    def __init__(self):
        self.hangup = asyncio.Event()
        self.messages = [{"type": "http.request", "body": PICTURE, "more_body": False}]
        self.received = []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.hangup.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.received.append(message)


@pytest.mark.parametrize(
    ("action", "accept", "parts"),
    [(":predict", b"*/*", 0), (":analyze", b"application/x-ndjson", 0), (":analyze", b"application/x-ndjson", 2)],
    ids=["plain", "stream", "begun stream"],
)
async def test_hanging_up_cancels_the_work(app, gateway, samples, action, accept, parts):
    gateway.waits, gateway.parts = True, parts
    caller = HangingUp()
    headers = [(b"content-type", b"image/png"), (b"accept", accept)]
    answering = asyncio.create_task(app(scope(action, headers), caller.receive, caller.send))
    await gateway.started.wait()
    assert not gateway.cancelled.is_set()
    caller.hangup.set()
    await asyncio.wait_for(answering, 5)
    assert gateway.cancelled.is_set()
    [labels] = samples("whybox_requests_total")
    assert 'code="CANCELLED"' in labels
    assert list(samples("whybox_requests_in_flight").values()) == [0]


async def test_hanging_up_while_sending_ends_the_request(app, gateway, caplog):
    caller = HangingUp()
    caller.messages[0]["more_body"] = True
    caller.hangup.set()
    await app(scope(":predict", [(b"content-type", b"image/png")]), caller.receive, caller.send)
    assert caller.received[0]["status"] == 499
    assert gateway.requests == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_cancelling_the_server_cancels_the_work(app, gateway):
    gateway.waits = True
    caller = HangingUp()
    answering = asyncio.create_task(
        app(scope(":predict", [(b"content-type", b"image/png")]), caller.receive, caller.send)
    )
    await gateway.started.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert gateway.cancelled.is_set()


NDJSON = {"Accept": "application/x-ndjson", "Content-Type": "image/png"}


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/json;q=0.5, Application/X-NDJSON;q=1"])
async def test_analyze_streams_a_line_per_part(http, gateway, accept):
    gateway.parts = 3
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON | {"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in response.headers
    lines = response.text.splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["id-1"] * 3
    assert gateway.requests == [request(**ALL_PARTS)]


async def test_certify_streams_too(http, gateway):
    gateway.parts = 3
    response = await http.post(f"{URL}:certify", content=PICTURE, headers=NDJSON, params={"sigma": 0.25})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["certified"]["state"] for line in response.text.splitlines()] == ["certified"] * 3
    assert gateway.requests == [request(certified={"sigma": 0.25})]


@pytest.mark.parametrize("action", ["predict", "explain", "robustness", "bias"])
async def test_the_others_do_not_stream(http, action):
    response = await http.post(f"{URL}:{action}", content=PICTURE, headers=NDJSON)
    assert response.headers["content-type"] == "application/json"


OVERLAY, HEAT_MAP = b"\x89PNG overlay", b"\x89PNG heat map"


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0.5, Image/PNG;q=1"])
@pytest.mark.parametrize(
    ("params", "encoding", "drawn"),
    [
        ({}, "overlay", OVERLAY),
        ({"encoding": "overlay", "method": "saliency", "target_class": "tench"}, "overlay", OVERLAY),
        ({"encoding": "heat_map", "contrast_class": "3"}, "heat_map", HEAT_MAP),
    ],
)
async def test_explain_draws_where_a_picture_is_wanted(http, gateway, accept, params, encoding, drawn):
    gateway.answer = message(v1.AnalyzeResponse, explanations=[{encoding: drawn}])
    response = await http.post(
        f"{URL}:explain", content=PICTURE, headers=RAW["headers"] | {"Accept": accept}, params=params
    )
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-request-id"] == gateway.request_ids[0]
    assert response.content == drawn
    [asked] = gateway.requests
    assert [list(options.encodings) for options in asked.explanations] == [[encoding]]


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"method": ["grad_cam", "saliency"]}, "method", "one method and one class"),
        ({"target_class": ["1", "2"]}, "target_class", "one method and one class"),
        ({"method": ["grad_cam", "saliency"], "target_class": ["1", "2"]}, "method", "one method and one class"),
        ({"encoding": "uint8"}, "encoding", "one of overlay and heat_map"),
        ({"encoding": "regions"}, "encoding", "one of overlay and heat_map"),
        ({"encoding": ["overlay", "heat_map"]}, "encoding", "one of overlay and heat_map"),
        ({"encoding": ["overlay", "overlay"]}, "encoding", "one of overlay and heat_map"),
        ({"quality": "stability"}, "quality", "no measurements"),
    ],
)
async def test_what_one_picture_cannot_show_is_refused(http, gateway, params, field, says):
    headers = RAW["headers"] | {"Accept": "image/png"}
    response = await http.post(f"{URL}:explain", content=PICTURE, headers=headers, params=params)
    problem = response.json()
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert says in problem["detail"]
    assert "accept application/json" in problem["detail"]
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({}, "adversarial"),
        ({"picture": "adversarial", "norm": "l2", "attack": "ddn", "budget": "fast"}, "adversarial"),
        ({"picture": "change"}, "change"),
    ],
)
async def test_robustness_shows_the_change_where_a_picture_is_wanted(http, gateway, params, kind):
    gateway.answer = message(
        v1.AnalyzeResponse, robustness={"distances": [{"state": "found", f"{kind}_picture": b"\x89PNG"}]}
    )
    headers = RAW["headers"] | {"Accept": "image/png"}
    response = await http.post(f"{URL}:robustness", content=PICTURE, headers=headers, params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.content == b"\x89PNG"
    assert [asked.robustness.encodings for asked in gateway.requests] == [[kind]]


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"norm": ["linf", "l2"]}, "norm", "one norm"),
        ({"picture": ["adversarial", "change"]}, "picture", "one of adversarial and change"),
        ({"transfer": "true"}, "transfer", "no transfer"),
        ({"twin": "grad_cam"}, "twin", "no twin"),
        ({"corruption": "all"}, "corruption", "no corruption"),
    ],
)
async def test_what_one_picture_of_a_change_cannot_show_is_refused(http, gateway, params, field, says):
    headers = RAW["headers"] | {"Accept": "image/png"}
    response = await http.post(f"{URL}:robustness", content=PICTURE, headers=headers, params=params)
    problem = response.json()
    assert response.status_code == 400
    assert [error["field"] for error in problem["errors"]] == [field]
    assert says in problem["detail"]
    assert "accept application/json" in problem["detail"]
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("distance", "says"),
    [
        ({"norm": "l2", "state": "not_found", "searched_radius": 2.5}, "no change up to 2.5 (l2) was found"),
        ({"norm": "linf", "state": "found", "distance": 0.1}, "picture=change shows it amplified"),
    ],
)
async def test_without_an_adversarial_picture_a_problem_says_why(http, gateway, distance, says):
    gateway.answer = message(v1.AnalyzeResponse, robustness={"distances": [distance]})
    headers = RAW["headers"] | {"Accept": "image/png"}
    response = await http.post(f"{URL}:robustness", content=PICTURE, headers=headers)
    problem = response.json()
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["reason"]) == ("FAILED_PRECONDITION", "NO_ADVERSARIAL_PICTURE")
    assert says in problem["detail"]


async def test_an_error_is_no_picture(http, gateway):
    gateway.error = errors.FailedPreconditionError("grad_cam reads the last feature maps; use saliency")
    response = await http.post(f"{URL}:explain", content=PICTURE, headers=RAW["headers"] | {"Accept": "image/png"})
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("action", ["predict", "bias", "analyze"])
async def test_no_other_action_draws(http, action):
    response = await http.post(f"{URL}:{action}", content=PICTURE, headers=RAW["headers"] | {"Accept": "image/png"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"


async def test_an_error_before_the_stream_is_a_problem(http, gateway):
    gateway.error = errors.OverloadedError("full", retry_after=2)
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("error", "reason"), [(errors.DeadlineExceededError("late"), "DEADLINE_EXCEEDED"), (KeyError("secret"), "INTERNAL")]
)
async def test_an_error_inside_the_stream_is_its_last_line(http, gateway, samples, error, reason):
    gateway.parts, gateway.error = 1, error
    response = await http.post(f"{URL}:analyze", content=PICTURE, headers=NDJSON)
    assert response.status_code == 200
    first, last = (json.loads(line) for line in response.text.splitlines())
    assert first["model"] == MODEL
    assert last["error"]["reason"] == reason
    assert last["error"]["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text
    [labels] = samples("whybox_requests_total")
    assert f'code="{last["error"]["code"]}"' in labels


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequestError("m", field="explanations[0].method"), 400),
        (errors.PictureError("m", field="image"), 400),
        (errors.PictureTooLargeError("m", field="explanations[0].baseline_image"), 413),
        (errors.NotFoundError("m", field="model"), 404),
        (errors.FailedPreconditionError("m"), 409),
        (errors.QuotaExceededError("m", retry_after=60), 429),
        (errors.UnavailableError("m", retry_after=0.3), 503),
        (errors.OverloadedError("m", retry_after=1.0), 503),
        (errors.DeadlineExceededError("m"), 504),
        (errors.CancelledError("m"), 499),
        (errors.InternalError("m"), 500),
    ],
)
async def test_every_error_of_the_gateway(http, gateway, samples, error, status):
    gateway.error = error
    response = await http.post(f"{URL}:predict", **RAW)
    assert response.status_code == status
    problem = response.json()
    assert (problem["code"], problem["reason"], problem["detail"]) == (error.code_name, error.reason, "m")
    assert problem.get("errors") == ([{"field": error.field, "detail": "m"}] if error.field else None)
    assert problem.get("retry_after") == error.retry_after
    assert ("retry-after" in response.headers) == (error.retry_after is not None)
    [labels] = samples("whybox_requests_total")
    assert f'code="{error.code_name}"' in labels


async def test_a_bug_is_logged_and_not_told(http, gateway, caplog):
    gateway.error = ZeroDivisionError("secret")
    response = await http.post(f"{URL}:predict", headers={"X-Request-ID": "bug-1", **RAW["headers"]}, content=PICTURE)
    assert response.status_code == 500
    assert response.json()["reason"] == "INTERNAL"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    [record] = [record for record in caplog.records if record.name.startswith("whybox")]
    assert "bug-1" in record.getMessage()
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "UNKNOWN_PATH"),
        ("GET", "/v1/models/", 404, "UNKNOWN_PATH"),
        ("POST", f"{URL}:guess", 404, "UNKNOWN_PATH"),
        ("GET", "/docs/assets/nothing.js", 404, "UNKNOWN_PATH"),
        ("GET", f"{URL}:predict", 405, "METHOD_NOT_ALLOWED"),
        ("POST", URL, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/models/other", 404, "NOT_FOUND"),
        ("GET", f"{URL}?version=2", 404, "NOT_FOUND"),
        ("GET", f"{URL}?top_k=2", 400, "INVALID_REQUEST"),
        ("GET", "/v1/models?page=2", 400, "INVALID_REQUEST"),
    ],
)
async def test_wrong_paths_and_methods_are_problems(http, method, path, status, reason):
    response = await http.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["reason"] == reason
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("abc-1.2_Z", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("two words", False),
        ("tab\there", False),
        (None, False),
    ],
)
async def test_request_ids(http, gateway, sent, kept):
    headers = RAW["headers"] | ({} if sent is None else {"X-Request-ID": sent})
    response = await http.post(f"{URL}:predict", content=PICTURE, headers=headers)
    [used] = gateway.request_ids
    assert response.headers["x-request-id"] == used
    assert (used == sent) if kept else re.fullmatch("[0-9a-f]{32}", used)


async def test_models(http):
    listed = (await http.get("/v1/models")).json()["models"]
    assert [(model["name"], model["labels"]) for model in listed] == [(MODEL, [])]
    for url in (URL, f"{URL}?version=1"):
        assert (await http.get(url)).json()["labels"] == ["tench"]


@pytest.mark.parametrize(
    ("pools", "ready"),
    [
        ({MODEL: {"1": {"predict": "ready", "analyze": "ready"}}}, True),
        ({MODEL: {"1": {"predict": "ready", "analyze": "starting"}}}, False),
        ({MODEL: {"1": {"predict": "ready"}, "2": {"predict": "starting"}}}, False),
        ({}, False),
    ],
)
async def test_readiness(http, gateway, pools, ready):
    gateway.pools = pools
    response = await http.get("/readyz")
    assert response.status_code == (200 if ready else 503)
    assert response.json() == {"ready": ready, "models": pools}
    assert (await http.get("/healthz")).json() == {"status": "alive"}


@pytest.mark.parametrize("pools", [{MODEL: {"1": {"predict": "ready", "analyze": "ready"}}}, {}])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_may_ask_for_the_head_alone(http, gateway, path, pools):
    gateway.pools = pools
    head, get = await http.head(path), await http.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-length"] == get.headers["content-length"]
    assert "HEAD" in (await http.post(path)).headers["allow"]


async def test_metrics_use_templates_and_known_names(http, samples):
    await http.post(f"{URL}:predict", **RAW)
    await http.get("/v1/models/made-up")
    await http.get("/v1/made/up")
    await http.get("/healthz")
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    counted = " ".join(samples("whybox_requests_total"))
    routes = set(re.findall('route="([^"]*)"', counted))
    models = set(re.findall('model="([^"]*)"', counted))
    assert routes == {"/v1/models/{model}:predict", "/v1/models/{model}", "unknown"}
    assert models == {MODEL, "unknown", ""}
    assert "whybox_requests_total{" in response.text


async def test_the_documentation_needs_no_network(http):
    page = await http.get("/docs")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    addresses = re.findall('(?:src|href)="([^"]*)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        # Relative to /docs; nothing leaves this server.
        found = await http.get(httpx.URL("http://whybox/docs").join(address))
        assert found.status_code == 200, address
        assert found.headers["content-type"].startswith(("text/", "image/png"))
