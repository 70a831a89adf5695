from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from clients.gateways import FakeGateway, Ports, serving
from whybox import Client, v1
from whybox._transports.rest import RestTransport
from whybox._transports.transport import Call
from whybox.options import MAX_MESSAGE_BYTES
from whybox.v1 import errors

CALL = Call(timeout=5, request_id="abc")
REQUEST = v1.AnalyzeRequest(model="lite0", image=b"picture")
TREE = [
    errors.InvalidRequestError("bad top_k", field="prediction.top_k"),
    errors.PictureError("no picture", field="image"),
    errors.PictureTooLargeError("too large", field="image"),
    errors.NotFoundError("no such model"),
    errors.FailedPreconditionError("no audit", reason="NO_AUDIT"),
    errors.QuotaExceededError("too often", retry_after=2.5),
    errors.UnavailableError("starting", retry_after=1.0),
    errors.OverloadedError("queue full", retry_after=0.5),
    errors.DeadlineExceededError("too late"),
    errors.CancelledError("gone"),
    errors.InternalError("a bug"),
]


@pytest.mark.parametrize("raised", TREE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.analyze(b"picture", request_id="call-1"),
        lambda client: list(client.stream(b"picture", request_id="call-1")),
        lambda client: client.model(request_id="call-1"),
    ],
    ids=["analyze", "stream", "model"],
)
def test_the_tree_survives_both_transports(
    client: Client, gateway: FakeGateway, raised: errors.WhyboxError, ask: Callable[..., object]
) -> None:
    gateway.error, gateway.answers = raised, []
    with pytest.raises(errors.WhyboxError) as caught:
        ask(client)
    error = caught.value
    assert type(error) is type(raised)
    for attribute in ("message", "reason", "field", "retry_after"):
        assert getattr(error, attribute) == getattr(raised, attribute), attribute
    assert error.__notes__ == ["Request id: call-1"]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("ask", ["analyze", "models"])
def test_no_server_there(unused_address: str, picture: bytes, scheme: str, ask: str) -> None:
    url = f"{scheme}://{unused_address}"
    with Client(url, model="lite0", timeout=5) as client, pytest.raises(errors.UnavailableError) as caught:
        client.models() if ask == "models" else client.analyze(picture)
    assert f"no Whybox server answers at {url}" in caught.value.message


def test_too_late(client: Client, url: str, gateway: FakeGateway, picture: bytes) -> None:
    gateway.holds = True
    for ask in (client.analyze, lambda *args, **kwargs: list(client.stream(*args, **kwargs))):
        with pytest.raises(errors.DeadlineExceededError, match=r"did not answer within 0\.1 s") as caught:
            ask(picture, timeout=0.1)
        assert url in caught.value.message


def foreign(status: int, content: str, media_type: str) -> RestTransport:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=content, headers={"content-type": media_type})

    return RestTransport("http://elsewhere:80", httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "content", "media_type", "error", "words"),
    [
        (200, "<html>", "text/html", errors.WhyboxError, "answered 200 OK with text/html"),
        (404, "nothing", "text/plain", errors.WhyboxError, "answered 404 Not Found with text/plain"),
        (302, "", "", errors.WhyboxError, "answered 302 Found with no content type"),
        (200, "{", "application/json", errors.WhyboxError, "broken JSON"),
        (200, "[]", "application/json", errors.WhyboxError, "JSON that is no object"),
        (200, '{"prediction": 3}', "application/json", errors.WhyboxError, "no AnalyzeResponse"),
        (
            413,
            "<html>",
            "text/html",
            errors.PictureTooLargeError,
            "the picture is too large for http.*: 413",
        ),
        (
            502,
            "<html>",
            "text/html",
            errors.UnavailableError,
            "a proxy of .* answered 502 Bad Gateway",
        ),
        (429, "slow down", "text/plain", errors.QuotaExceededError, "a proxy of .* answered 429 Too Many Requests"),
        (503, "", "", errors.UnavailableError, "a proxy of .* answered 503 Service Unavailable"),
        (
            504,
            "<html>",
            "text/html",
            errors.DeadlineExceededError,
            "a proxy of .* answered 504 Gateway Timeout",
        ),
    ],
)
def test_other_http_servers(
    status: int, content: str, media_type: str, error: type[errors.WhyboxError], words: str
) -> None:
    transport = foreign(status, content, media_type)
    with pytest.raises(error, match=words) as caught:
        transport.analyze(REQUEST, CALL)
    assert type(caught.value) is error
    assert "http://elsewhere:80" in caught.value.message
    if error is errors.WhyboxError:
        assert caught.value.reason == "NOT_WHYBOX"
    transport.close()


def test_a_problem_of_a_newer_server_is_read_as_far_as_possible() -> None:
    transport = foreign(418, '{"title": "Teapot", "code": "SHORT", "reason": "STOUT"}', "application/problem+json")
    with pytest.raises(errors.WhyboxError, match="Teapot") as caught:
        transport.analyze(REQUEST, CALL)
    assert (type(caught.value), caught.value.reason) == (errors.WhyboxError, "STOUT")
    transport.close()


def test_an_answer_of_a_newer_server_may_say_more() -> None:
    transport = foreign(200, '{"model": "lite0", "horoscope": {"sign": "virgo"}}', "application/json")
    assert transport.analyze(REQUEST, CALL).model == "lite0"
    transport.close()


def test_a_stream_that_is_none() -> None:
    transport = foreign(200, "<html>", "text/html")
    with pytest.raises(errors.WhyboxError, match="text/html"):
        list(transport.stream(REQUEST, CALL))
    transport.close()


@pytest.fixture
def another_grpc_server() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


def test_other_grpc_servers(another_grpc_server: str) -> None:
    words = "is not a Whybox server"
    with Client(another_grpc_server, timeout=5) as client, pytest.raises(errors.WhyboxError, match=words) as caught:
        client.models()
    assert caught.value.reason == "NOT_WHYBOX"


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [
        (10, errors.WhyboxError, "ask for fewer maps"),
        (2000, errors.PictureTooLargeError, "the picture is too large for"),
    ],
)
def test_messages_beyond_the_limits_of_grpc(size: int, error: type[errors.WhyboxError], words: str) -> None:
    gateway = FakeGateway([v1.AnalyzeResponse(model="x" * (MAX_MESSAGE_BYTES + 1))])
    with serving(gateway, max_bytes=1000) as ports, Client(ports.grpc, model="lite0") as client:
        with pytest.raises(error, match=words) as caught:
            client.analyze(bytes(size))
        assert type(caught.value) is error


def test_the_wrong_port_of_the_right_server(ports: Ports, picture: bytes) -> None:
    swapped = (ports.rest.replace("http", "grpc"), ports.grpc.replace("grpc", "http"))
    for url in swapped:
        with Client(url, model="lite0", timeout=5) as client, pytest.raises(errors.UnavailableError, match=url):
            client.analyze(picture)
