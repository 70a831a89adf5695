"""Passes on Ray Data keep the same as passes in processes, and say what is wrong. Few tests start Ray: it is slow."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from server.audits import quick_audits
from server.audits.stopping import kept, stopped
from whybox_server.audits.data.dataset import Labelled
from whybox_server.audits.passes import ray_engine
from whybox_server.audits.passes.errors import AuditError
from whybox_server.audits.passes.workers import Work
from whybox_server.cli.app import app

TEXTS = ["unreadable", "wrong", "failed", *(f"picture {10**number}" for number in range(9))]
RAY = ["--engine", "ray"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "cat").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "cat" / f"{number:02}.jpg").write_text(f"{text}\n{number}")
    return folder


def arguments(data: Path, store: Path, save: Path, *more: str) -> list[str]:
    given = [data, "--model-store", store, "--save", save, "--workers", 2]
    return ["audit", *map(str, given), "--attribute", "brightness", *more]


def finished(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    # A short path: Ray's sockets lie in it.
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        done = subprocess.run(
            [sys.executable, quick_audits.__file__, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=os.environ | environment | {"TMPDIR": temporary},
        )
        assert (list(Path(temporary).iterdir()), users(temporary)) == ([], [])
    return done


def users(folder: str) -> list[psutil.Process]:
    """The processes that have a file of a folder open, also one that is deleted."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            links = [link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            if any(str(link).startswith(f"{folder}/") for link in links):
                found.append(process)
    return found


def results(save: Path) -> dict[str, bytes]:
    return {name: (save / name).read_bytes() for name in ("audit.json", "audit.parquet")}


@pytest.fixture(scope="module")
def in_processes(data: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    save = tmp_path_factory.mktemp("processes")
    done = finished(arguments(data, store, save))
    assert done.returncode == 0, done.stderr
    return save


def test_killed_in_either_engine_and_resumed_in_the_other(
    data: Path, store: Path, in_processes: Path, tmp_path: Path
) -> None:
    expected = results(in_processes)
    assert json.loads(expected["audit.json"])["data"]["unreadable"] == [{"file": "cat/00.jpg", "error": "damaged"}]
    for first, second in ((RAY, []), ([], RAY)):
        save = tmp_path / "-".join(["save", *first])
        stopped(arguments(data, store, save, *first), signal.SIGKILL, partial(kept, save))
        assert 1 <= kept(save) < len(TEXTS)
        done = finished(arguments(data, store, save, *second))
        assert done.returncode == 0, done.stderr
        assert f"of {len(TEXTS)} pictures were measured by an earlier run\n" in done.stderr
        assert results(save) == expected


def test_interrupted(data: Path, store: Path, tmp_path: Path) -> None:
    # Lines of progress may come before.
    *_, line = stopped(arguments(data, store, tmp_path, *RAY), signal.SIGINT, lambda: kept(tmp_path) >= 1).splitlines()
    assert line == "interrupted: all measurements are kept; run the same command again to continue"


def test_a_picture_that_always_kills_its_worker_ends_the_audit(data: Path, store: Path, tmp_path: Path) -> None:
    done = finished(arguments(data, store, tmp_path, *RAY), FATAL="picture 1000")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(
        "error: a worker of Ray died, and again on 2 more attempts; memory may have run out: run the"
    )
    assert 1 <= kept(tmp_path) < len(TEXTS)


# What needs no Ray.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ray-address", "localhost:6379"], "error: --ray-address needs --engine ray"),
        ([*RAY, "--ray-address", "nonsense"], "error: --ray-address 'nonsense' is no address; write HOST:PORT"),
        ([*RAY, "--ray-address", "ray://head:10001"], "error: --ray-address 'ray://head:10001' is no address"),
    ],
)
def test_what_is_refused(options: list[str], words: str, data: Path, store: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, arguments(data, store, tmp_path, *options))
    assert done.exit_code == 1
    assert done.stderr.startswith(words)


def test_no_cluster_answers(data: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_ADDRESS_SECONDS", 0.5)
    # A server that accepts connections and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = CliRunner().invoke(app, arguments(data, store, tmp_path, *RAY, "--ray-address", address))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: no Ray cluster answers at --ray-address {address} within 0.5 seconds")


def test_ray_is_not_installed(data: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = CliRunner().invoke(app, arguments(data, store, tmp_path, *RAY))
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: --engine ray needs Ray (")
    assert line.endswith("install it with: pip install 'whybox[server,ray]'")


@pytest.mark.parametrize(
    ("libraries", "archive", "words"),
    [
        ({"torch": "0"}, b"", "it has torch 2 instead of 0"),
        ({"torch": "2"}, b"other", "is another file than here"),
        ({"torch": "2"}, b"", "no.jpg cannot be read (No such file or directory); every machine needs the pictures"),
    ],
)
def test_what_a_machine_of_a_cluster_lacks(
    libraries: dict[str, str], archive: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "libraries", lambda: {"torch": "2"})
    work = Work(tmp_path / "m.mar", tmp_path, b"", 0, "cpu")
    work.archive.write_bytes(b"")
    begun = ray_engine._Begun(libraries, ray_engine._digest(work.archive))
    work.archive.write_bytes(archive)
    batch = ray_engine._table([Labelled("no.jpg", 0)])
    [row] = ray_engine._Measurer(work, quick_audits.measure_batch, begun)(batch).to_pylist()
    with pytest.raises(AuditError, match=r"^machine .* of the cluster at head:6379 cannot measure: ") as raised:
        ray_engine._records(row, "head:6379")
    assert words in str(raised.value)
