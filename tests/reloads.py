"""Reloads of a real server under load: several versions of a packed model, and callers who note every failure."""

import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from presence import present
from servers import Server
from whybox import Client
from whybox.options import PartName

_BIN = Path(sys.executable).parent
_RELOAD_SECONDS = 180
_PAUSE_SECONDS = 0.4
_END_SECONDS = 60


def pack_again(archive: Path, store: Path, version: str) -> Path:
    """The packed default model under another version, in another store."""
    name = archive.name.removesuffix("-1.0.mar")
    path = store / f"{name}-{version}.mar"
    # Elsewhere first: a server may read the store.
    with zipfile.ZipFile(archive) as content, zipfile.ZipFile(path.with_suffix(".new"), "w") as copied:
        for member in content.namelist():
            text = content.read(member)
            if member.endswith(".json"):
                for key in (b'"version"', b'"modelVersion"'):
                    text = text.replace(key + b': "1.0"', key + f': "{version}"'.encode())
            copied.writestr(member, text)
    return path.with_suffix(".new").replace(path)


@dataclass
class Load:
    """What callers saw.

    Attributes:
        answered: Number of answers, by transport, question and version.
        failed: Every error, and every wrong answer.
    """

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def versions(self) -> set[str]:
        """The versions that have answered."""
        return {version for _, _, version in list(self.answered)}


@contextmanager
def load(server: Server, picture: bytes, label: int) -> Iterator[Load]:
    """Predictions and Grad-CAM over both transports, each asked again and again by one caller, inside of the block.

    Args:
        server: Is asked.
        picture: Is shown.
        label: The class that every answer must give it.
    """
    seen, stop = Load(), threading.Event()

    def ask(transport: str, question: str) -> None:
        parts: list[PartName] = ["prediction"]
        if question == "grad_cam":
            parts.append("explanations")
        methods = ["grad_cam"] if question == "grad_cam" else None
        with Client(getattr(server, transport), timeout=60) as client:
            while not stop.is_set():
                try:
                    analysis = client.analyze(picture, parts=parts, methods=methods)
                    found = present(analysis.prediction).classes[0].index
                    errors = [each.error for each in analysis.explanations if each.error is not None]
                    if errors or found != label or len(analysis.explanations) != len(parts) - 1:
                        seen.failed.append(f"{transport} {question}: class {found}, {errors}")
                    seen.answered[transport, question, analysis.version] += 1
                except Exception as error:  # noqa: BLE001 (each is a request that failed)
                    seen.failed.append(f"{transport} {question}: {error!r}")
                stop.wait(_PAUSE_SECONDS)

    callers = [
        threading.Thread(target=ask, args=(transport, question))
        for transport in ("rest", "grpc")
        for question in ("prediction", "grad_cam")
    ]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        stop.set()
        for caller in callers:
            caller.join()


def reload(server: Server) -> "subprocess.CompletedProcess[str]":
    """`whybox-server reload`, to its end."""
    command: list[str | Path] = [_BIN / "whybox-server", "reload", "--log-dir", server.log_dir]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_RELOAD_SECONDS,
        env=os.environ | {"COLUMNS": "400"},
    )


def wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Waits for the end of processes; those that are left."""
    return psutil.wait_procs(processes, timeout=_END_SECONDS)[1]


def wait_for_version(seen: Load, version: str) -> None:
    """Waits until a version has answered each caller."""
    deadline = time.monotonic() + _END_SECONDS
    while sum(answered == version for _, _, answered in list(seen.answered)) < 4:
        assert not seen.failed, seen.failed[:3]
        assert time.monotonic() < deadline, seen.answered
        time.sleep(0.1)
