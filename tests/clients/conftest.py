"""A client of each transport, the gateway behind them, and what it answers.

`gateway` is what the real gRPC and REST transports of the server ask; a test sets what it answers (`gateways.py`) and
looks up what it was asked. Tests that take `client` or `url` run once for each transport.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from clients.answers import png, whole_answer
from clients.gateways import FakeGateway, Ports, serving
from whybox import Analysis, Client, v1
from whybox._messages.reading import read_analysis
from whybox.cli import app
from whybox.v1.errors import OverloadedError


@pytest.fixture
def answer() -> v1.AnalyzeResponse:
    """Every part, each optional field once set and once absent; see `whole_answer`."""
    return whole_answer()


@pytest.fixture
def picture() -> bytes:
    """64 x 48 pixels of noise as PNG."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return png(noise)


@pytest.fixture
def analysis(answer: v1.AnalyzeResponse, picture: bytes) -> Analysis:
    """`answer` as the client reads it."""
    return read_analysis(answer, picture)


@pytest.fixture
def overloaded() -> OverloadedError:
    return OverloadedError("the queue is full", retry_after=1.5)


@pytest.fixture(scope="module")
def all_ports() -> Iterator[Ports]:
    """Both transports, in an event loop that does not outlive the module.

    The loops of a process share one queue of grpc.aio's events, so that a second one can take those of later tests.
    """
    with serving(FakeGateway()) as ports:
        yield ports


@pytest.fixture
def ports(all_ports: Ports, answer: v1.AnalyzeResponse) -> Ports:
    """Both transports over a gateway that answers with `answer`."""
    all_ports.gateway.reset(answer)
    return all_ports


@pytest.fixture
def gateway(ports: Ports) -> FakeGateway:
    return ports.gateway


@pytest.fixture(params=["grpc", "rest"])
def url(request: pytest.FixtureRequest, ports: Ports) -> str:
    """The address of one transport, then of the other."""
    address: str = getattr(ports, request.param)
    return address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, model="lite0", timeout=10) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path, picture: bytes) -> Path:
    """A folder with `picture` as dog.png."""
    (tmp_path / "dog.png").write_bytes(picture)
    return tmp_path


@pytest.fixture
def run(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `whybox` with some arguments in `folder`; `input` is its standard input."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WHYBOX_URL", url)

    def run(*arguments: str, input: bytes | None = None) -> Result:  # noqa: A002 (as the runner calls it)
        return CliRunner().invoke(app, arguments, input=input)

    return run


@pytest.fixture
def unused_address() -> str:
    """The host and port of an address at which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
