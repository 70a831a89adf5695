from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clients.gateways import FakeGateway
from whybox.cli import app
from whybox.v1.errors import OverloadedError


def one_line(result: Result) -> str:
    [line] = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return line


def test_errors_are_one_line(run: Callable[..., Result], gateway: FakeGateway, overloaded: OverloadedError) -> None:
    gateway.error = overloaded
    result = run("analyze", "dog.png")
    assert result.exit_code == 1
    assert result.stdout == ""
    line = one_line(result)
    assert line.startswith("Error: the queue is full [QUEUE_FULL] (Request id: ")
    assert gateway.request_ids[0] in line


def test_no_server_there(run: Callable[..., Result], unused_address: str) -> None:
    result = run("models", "--url", f"http://{unused_address}")
    assert result.exit_code == 1
    assert f"no Whybox server answers at http://{unused_address}" in one_line(result)


def test_a_folder_that_cannot_be_written(run: Callable[..., Result], folder: Path) -> None:
    (folder / "file").touch()
    result = run("analyze", "dog.png", "--save", "file/maps")
    assert result.exit_code == 1
    assert "file/maps" in one_line(result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("analyze", "Missing argument"),
        ("analyze nothing.png", "nothing.png is no file"),
        ("analyze dog.png --url ftp://x", "url must be grpc://host:port"),
        ("analyze dog.png --part mood", "parts must be some of"),
        ("analyze dog.png --top-k 0", "top-k"),
        ("analyze dog.png --seed -1", "seed"),
        ("analyze dog.png --timeout 0", "timeout"),
        ("analyze dog.png --colour", "No such option"),
        ("analyze dog.png --max-evaluations 0", "max-evaluations"),
        ("analyze dog.png --tolerance -1", "tolerance"),
        ("analyze dog.png --baseline nothing.png", "nothing.png is no file"),
        ("analyze dog.png --steps 9", "No such option"),
        ("analyze dog.png --part certified", "--sigma: a certificate needs a level of noise"),
        ("analyze dog.png --samples 100", "--sigma: a certificate needs a level of noise"),
        ("analyze dog.png --part bias --alpha 0.01", "--sigma: a certificate needs a level of noise"),
        ("certify dog.png", "Missing option '--sigma'"),
        ("certify nothing.png --sigma 1", "nothing.png is no file"),
        ("certify dog.png --sigma little", "sigma"),
        ("certify dog.png --sigma 1 --samples few", "samples"),
        ("certify dog.png --sigma 1 --samples 2147483648", "samples must be an integer"),
        ("certify dog.png --sigma nan", "sigma must be a finite number"),
        ("analyze dog.png --timeout nan", "--timeout"),
        ("analyze dog.png --tolerance inf", "tolerance must be a finite number"),
        ("analyze dog.png --target 2147483648", "target must be a class's index or label"),
        ("analyze dog.png --target -1", "an index from 0"),
        ("analyze dog.png --samples 0", "--sigma: a certificate needs a level of noise"),
        ("analyze dog.png --twin=", "twin must be a str with at least one character"),
        ("models --timeout nan", "--timeout"),
    ],
)
def test_wrong_usage(run: Callable[..., Result], gateway: FakeGateway, arguments: str, words: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("--help", "models"), ("analyze --help", "--contrast pointer"), ("certify --help", "trades reach for accuracy")],
)
def test_help_teaches(arguments: str, words: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0
    assert words in result.stdout
