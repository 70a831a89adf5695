"""The `whybox-server` command: its help, its errors, and the demo."""

import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from typer.core import TyperArgument, TyperOption
from typer.main import get_group
from typer.testing import CliRunner, Result

from whybox import v1
from whybox_server.cli import demo as demo_module
from whybox_server.cli import serving as serve_module
from whybox_server.cli.app import app
from whybox_server.settings import Settings

COMMANDS = get_group(app).commands

LITE0 = "efficientnet-lite0"

Demo = Callable[..., tuple[Result, list[str]]]
"""Runs the demo with stand-ins; returns the result and the notes of the stand-ins."""


@pytest.fixture(autouse=True)
def _wide_and_plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in Settings.model_fields:
        monkeypatch.delenv(f"WHYBOX_{name.upper()}", raising=False)
    # Files that a command writes by default must not lie in the repository.
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    with zipfile.ZipFile(store / "m-1.mar", "w") as archive:
        archive.writestr("manifest.json", json_format.MessageToJson(v1.Model(name="m", version="1")))
    return store


@pytest.fixture
def _no_torchserve(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backend:
        def __init__(self, *_: object) -> None:
            pass

        @asynccontextmanager
        async def running(self) -> AsyncIterator[None]:
            yield

        def readiness(self) -> dict[str, bool]:
            return {}

    monkeypatch.setattr(serve_module, "Backend", Backend)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(outcome: Result) -> str:
    """The one line that a failed command prints."""
    assert outcome.exit_code == 1, outcome.output
    # Anything else would be a traceback.
    assert isinstance(outcome.exception, SystemExit)
    assert outcome.stdout == ""
    [line] = outcome.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_help_begins_with_the_first_steps() -> None:
    for arguments in ((), ("--help",)):
        text = run(*arguments).output
        assert text.index("whybox-server pack model_store/") < text.index("whybox-server serve")
        for name in COMMANDS:
            assert f" {name} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_explains_every_option(name: str) -> None:
    outcome = run(name, "--help")
    assert outcome.exit_code == 0
    text = " ".join(outcome.output.split())
    for parameter in COMMANDS[name].params:
        assert isinstance(parameter, TyperArgument | TyperOption)
        assert parameter.help
        assert parameter.help in text
    assert len(COMMANDS[name].help or "") > 30


def test_help_of_serve_lists_every_setting() -> None:
    text = " ".join(run("serve", "--help").output.split())
    for name, field in Settings.model_fields.items():
        assert f"WHYBOX_{name.upper()} (default {field.default}): {field.description}" in text


@pytest.mark.parametrize(
    ("environment", "options", "words"),
    [
        ({"WHYBOX_REST_PORT": "http"}, [], ["rest_port", "WHYBOX_REST_PORT='http'", "integer"]),
        ({"WHYBOX_ANALYZE_QUEUE_SECONDS": "0"}, [], ["analyze_queue_seconds", "greater than 0"]),
        ({"WHYBOX_MAX_TIMEOUT": "inf"}, [], ["max_timeout", "86400"]),
        ({"WHYBOX_REST_PORT": "-1", "WHYBOX_GRPC_PORT": "x"}, [], ["rest_port", "grpc_port"]),
        ({}, ["--grpc-port", "65536"], ["grpc_port", "65535"]),
    ],
)
def test_bad_settings(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], options: list[str], words: list[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    line = told(run("serve", *options))
    assert all(word in line for word in words)


@pytest.mark.parametrize("name", ["no/such/folder", "", "[bold]" + "x" * 200])
def test_no_model(name: str, tmp_path: Path) -> None:
    line = told(run("serve", "--model-store", tmp_path / name))
    assert f"no packed model in {tmp_path / name}; build one with: whybox-server pack {tmp_path / name}/" in line


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_model_that_is_not_in_the_store(store: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "environment":
        monkeypatch.setenv("WHYBOX_MODELS", "n,m")
    options = ["--model", "n", "--model", "m"] if way == "option" else []
    assert f"{store} holds no n; it holds m-1" in told(run("serve", "--model-store", store, *options))


@pytest.mark.parametrize("command", [["serve"], ["robustness", "."]], ids=lambda command: command[0])
def test_the_environment_names_the_store_unless_an_option_does(
    store: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("WHYBOX_MODEL_STORE", str(store))
    assert f"{store} holds no n; it holds m-1" in told(run(*command, "--model", "n"))
    assert "no packed model in other" in told(run(*command, "--model-store", "other"))


def test_an_audit_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYBOX_REST_PORT", "http")
    assert "rest_port" in told(run("robustness", "."))


def test_a_broken_model(store: Path) -> None:
    (store / "n-1.mar").write_bytes(b"")
    assert f"{store / 'n-1.mar'} was not packed by this version" in told(run("serve", "--model-store", store))


@pytest.mark.usefixtures("_no_torchserve")
@pytest.mark.parametrize(("option", "other"), [("--rest-port", "--grpc-port"), ("--grpc-port", "--rest-port")])
def test_a_taken_port(store: Path, option: str, other: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = told(run("serve", "--model-store", store, option, port, other, 0))
    assert f"127.0.0.1:{port}" in line
    assert option in line


# Serves nothing, but logs.
LOGS = """
import logging
from whybox_server.cli import serving
from whybox_server.cli.app import app

async def log(*_: object) -> None:
    for number in range(3):
        logging.getLogger("whybox_server").warning("%s of %s [red] " + "x" * 200, number, 3)

serving.serve_until_stopped = log
app(["serve"])
"""


def test_logs_without_a_terminal_have_a_line_for_each_record() -> None:
    lines = subprocess.run([sys.executable, "-c", LOGS], check=True, capture_output=True, text=True).stderr.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines):
        assert re.fullmatch(rf"[-0-9]{{10}} [:0-9]{{8}},[0-9]{{3}} WARNING {number} of 3 \[red\] x{{200}}", line)


@pytest.mark.parametrize("spec", ["no-such.yaml", "[red].yaml"])
def test_no_spec(spec: str) -> None:
    assert spec in told(run("pack", spec))


def test_an_option_that_cannot_be_read() -> None:
    outcome = run("serve", "--rest-port", "http")
    assert outcome.exit_code == 2
    assert "--rest-port" in outcome.stderr


# Stand-ins for the two commands that the demo runs. Each writes its arguments to a file.
SERVER = """#!/bin/sh
echo "whybox-server $*" >> {notes}
[ "$1" = serve ] || exit {pack}
trap 'echo stopped >> {notes}; exit 0' TERM
echo "REST on http://127.0.0.1:1234 (try http://127.0.0.1:1234/docs)"
echo "gRPC on grpc://127.0.0.1:4321"
{before_ready}
echo "ready after 1.0 s; Ctrl-C stops"
while true; do sleep 0.05; done
"""
CLIENT = """#!/bin/sh
echo "whybox $*" >> {notes}
exit {analyze}
"""


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    def run_demo(pack: int = 0, analyze: int = 0, before_ready: str = "") -> tuple[Result, list[str]]:
        notes = tmp_path / "notes"
        for name, text in {"whybox-server": SERVER, "whybox": CLIENT}.items():
            script = tmp_path / name
            script.write_text(text.format(notes=notes, pack=pack, analyze=analyze, before_ready=before_ready))
            script.chmod(0o700)
        monkeypatch.setattr(demo_module, "_BIN", tmp_path)
        outcome = run("demo", "--model-store", "store", "--save", "drawn")
        return outcome, notes.read_text().splitlines()

    return run_demo


def test_the_demo_says_what_it_runs(demo: Demo) -> None:
    outcome, [pack, serve, over_rest, over_grpc, stopped] = demo()
    assert outcome.exit_code == 0
    assert pack == "whybox-server pack store/efficientnet-lite0.yaml"
    assert serve == f"whybox-server serve --model-store store --model {LITE0} --rest-port 0 --grpc-port 0"
    assert over_rest.endswith("--url http://127.0.0.1:1234 --save drawn")
    assert over_grpc.endswith("--url grpc://127.0.0.1:4321")
    assert stopped == "stopped"
    for line in (pack, serve, over_rest, over_grpc):
        assert f"$ {line}" in outcome.output


@pytest.mark.parametrize(
    ("fault", "words", "last"),
    [
        ({"pack": 1}, "whybox-server failed; see its output above", "whybox-server pack store/efficientnet-lite0.yaml"),
        ({"before_ready": "exit 1"}, "the server ended before it was ready", None),
        ({"analyze": 1}, "whybox failed", "stopped"),
    ],
)
def test_a_demo_that_fails(demo: Demo, fault: dict[str, Any], words: str, last: str | None) -> None:
    outcome, notes = demo(**fault)
    assert outcome.exit_code == 1
    assert f"error: {words}" in outcome.stderr
    assert notes[-1] == (last or f"whybox-server serve --model-store store --model {LITE0} --rest-port 0 --grpc-port 0")
