"""Which servers are reached past the proxy of the environment, over both transports."""

import socket
import threading
from collections.abc import Iterator

import pytest

from whybox import Client
from whybox._transports.addresses import connect
from whybox._transports.proxies import is_direct
from whybox._transports.transport import Call
from whybox.v1.errors import WhyboxError

VARIABLES = [name for pair in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy") for name in (pair, pair.upper())]


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


class Proxy:
    """Hangs up on each caller.

    Attributes:
        asked: The first line of each call.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if (line := connection.recv(1000).partition(b"\r\n")[0]) == b"stop":
                    return
                self.asked.append(line)

    def stop(self) -> None:
        with socket.create_connection(self._listener.getsockname()) as connection:
            connection.sendall(b"stop\r\n")
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy()
    for name in VARIABLES:
        monkeypatch.setenv(name, proxy.url)
    yield proxy
    proxy.stop()


def test_loopback_is_reached_without_the_proxy(proxy: Proxy, url: str, picture: bytes) -> None:
    with Client(url, model="lite0", timeout=10) as client:
        assert client.analyze(picture).model
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("http://elsewhere.invalid", b"GET http://elsewhere.invalid/v1/models HTTP/1.1"),
        ("https://elsewhere.invalid", b"CONNECT elsewhere.invalid:443 HTTP/1.1"),
        ("grpc://elsewhere.invalid", b"CONNECT elsewhere.invalid:8001 HTTP/1.1"),
    ],
)
def test_other_servers_are_reached_through_the_proxy(proxy: Proxy, address: str, line: bytes) -> None:
    transport = connect(address)
    with pytest.raises(WhyboxError):
        transport.list_models(Call(timeout=5))
    transport.close()
    assert line in proxy.asked


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "https://localhost:9"])
def test_a_proxy_that_cannot_be_used_does_not_matter_for_loopback(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("all_proxy", "gopher://127.0.0.1:9")
    connect(address).close()


LOOPBACK = "127.0.0.1 127.8.9.10 ::1 [::1] ::ffff:127.0.0.1 0.0.0.0 :: localhost LOCALHOST localhost. whybox.localhost"


@pytest.mark.parametrize("host", LOOPBACK.split())
def test_loopback_is_direct(host: str) -> None:
    assert is_direct(host)


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize(
    ("listed", "host", "direct"),
    [
        ("", "whybox.example", False),
        ("whybox.example", "whybox.example", True),
        ("whybox.example", "WHYBOX.example", True),
        ("whybox.example", "other.example", False),
        ("example", "whybox.example", True),
        (".example", "whybox.example", True),
        ("ample", "whybox.example", False),
        ("a, whybox.example , b", "whybox.example", True),
        ("*", "whybox.example", True),
        ("*", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "whybox.example", False),
        ("fd00::/8", "fd00::7", True),
        ("[fd00::7]", "fd00::7", True),
        ("fd00::/8", "10.1.2.3", False),
    ],
)
def test_no_proxy_is_honoured(
    monkeypatch: pytest.MonkeyPatch, variable: str, listed: str, host: str, direct: bool
) -> None:
    monkeypatch.setenv(variable, listed)
    assert is_direct(host) == direct
