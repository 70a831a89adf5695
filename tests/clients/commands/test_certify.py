import io
import json
from collections.abc import Callable, Generator

import pytest
from rich.console import Console
from typer.testing import Result

from clients.gateways import FakeGateway
from whybox import Analysis, Client, v1
from whybox._commands.certify import last_of
from whybox._messages.reading import read_analysis
from whybox.v1.errors import OverloadedError


@pytest.fixture
def growing(gateway: FakeGateway, answer: v1.AnalyzeResponse) -> list[v1.AnalyzeResponse]:
    """The gateway streams a certificate, first under way and then complete."""
    first, last = (v1.AnalyzeResponse(model="lite0", version="1.0", certified=answer.certified) for _ in range(2))
    first.certified.state, first.certified.samples = "running", 400
    first.certified.ClearField("radius")
    gateway.answers = [first, last]
    return gateway.answers


@pytest.mark.usefixtures("growing")
def test_the_certificate_can_be_read(run: Callable[..., Result]) -> None:
    result = run("certify", "dog.png", "--sigma", "0.05")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "lite0 1.0 Certified the smoothed classifier (noise 0.05, 1000 samples, 99.9 % confidence) answers" in text
    assert "under way" not in text
    # Without a terminal there is no bar.
    assert result.stderr == ""


def test_an_abstention_can_be_read(run: Callable[..., Result], growing: list[v1.AnalyzeResponse]) -> None:
    growing[-1].certified.state = "abstained"
    growing[-1].certified.ClearField("radius")
    result = run("certify", "dog.png", "--sigma", "0.05")
    assert result.exit_code == 0
    assert "abstains: no class was shown" in " ".join(result.stdout.split())


@pytest.mark.usefixtures("growing")
def test_json_is_the_last_answer(run: Callable[..., Result]) -> None:
    result = run("certify", "-", "--sigma", "0.05", "--json", input=b"no picture of ours")
    body = json.loads(result.stdout)
    assert (body["certified"]["state"], body["certified"]["radius"]) == ("certified", 0.124)
    assert result.stderr == ""


def test_options_reach_the_request(run: Callable[..., Result], gateway: FakeGateway) -> None:
    arguments = "--sigma 0.5 --samples 200 --alpha 0.01 --model lite2 --seed 5 --timeout 9"
    assert run("certify", "dog.png", *arguments.split()).exit_code == 0
    [request] = gateway.requests
    assert request == v1.AnalyzeRequest(
        model="lite2",
        image=request.image,
        certified=v1.CertifiedOptions(sigma=0.5, samples=200, alpha=0.01),
        seed=5,
    )


def test_what_is_left_out_is_not_sent(run: Callable[..., Result], gateway: FakeGateway) -> None:
    assert run("certify", "dog.png", "--sigma", "0.5").exit_code == 0
    [request] = gateway.requests
    assert request.certified == v1.CertifiedOptions(sigma=0.5)


def test_errors_are_one_line(run: Callable[..., Result], gateway: FakeGateway, overloaded: OverloadedError) -> None:
    gateway.answers, gateway.error = gateway.answers[:1], overloaded
    result = run("certify", "dog.png", "--sigma", "0.5")
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: the queue is full; the stream ended without certified [QUEUE_FULL]")


def test_a_stream_that_is_empty(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> Generator[Analysis, None, None]:
        yield from ()

    monkeypatch.setattr(Client, "stream", nothing)
    result = run("certify", "dog.png", "--sigma", "0.5")
    assert result.exit_code == 1
    assert "MALFORMED_ANSWER" in result.stderr


def test_a_terminal_sees_a_bar_that_goes(growing: list[v1.AnalyzeResponse]) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    analyses = [read_analysis(part, b"") for part in growing]
    assert last_of(iter(analyses), console) is analyses[-1]
    shown = screen.getvalue()
    assert "1000/1000" in shown
    # The last output erases the line again.
    assert shown.endswith("\x1b[2K")
