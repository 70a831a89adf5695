"""A real server: `whybox-server serve` with the real TorchServe and the packed default model, on free ports."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from presence import present

_BIN = Path(sys.executable).parent
_STOP_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process: `whybox-server serve`.
        rest: "http://host:port", or "https://host:port" with TLS.
        grpc: "grpc://host:port", or "grpcs://host:port" with TLS.
        log_dir: Where TorchServe logs.
    """

    process: "subprocess.Popen[str]"
    rest: str
    grpc: str
    log_dir: Path

    def family(self) -> list[psutil.Process]:
        """All processes that it has started: TorchServe and its workers."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self, kind: str) -> list[psutil.Process]:
        """The workers of one kind of pool, "predict" or "analyze"."""
        log = (self.log_dir / "torchserve.log").read_text()
        pids = {int(pid) for pid in re.findall(rf"W-\d+-[\w.-]+-{kind}(?:-\d+)?_\S+-stdout - \[PID\]\s*(\d+)", log)}
        return [process for process in self.family() if process.pid in pids]


def memory(pid: int, name: str) -> int:
    """Bytes of a process: "VmRSS" now, or "VmHWM", the most so far."""
    return 1024 * int(re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0])


@contextmanager
def serving(store: Path, log_dir: Path, **settings: str) -> Iterator[Server]:
    """Starts a server, waits until it is ready, and leaves nothing of it behind.

    Args:
        store: Folder with packed models.
        log_dir: Folder for its logs.
        settings: Further settings, as environment variables.
    """
    command: list[str | Path] = [_BIN / "whybox-server", "serve", "--rest-port", "0", "--grpc-port", "0"]
    command += ["--model-store", store, "--log-dir", log_dir]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"} | settings
    ) as process:
        family: list[psutil.Process] = []
        try:
            said = []
            for line in process.stdout or ():
                said.append(line)
                if line.startswith("ready"):
                    break
            else:
                raise AssertionError("the server ended before it was ready")
            text = "".join(said)
            rest, grpc = re.search(r"https?://\S+", text), re.search(r"grpcs?://\S+", text)
            server = Server(process, present(rest)[0], present(grpc)[0], log_dir)
            family = server.family()
            yield server
        finally:
            if process.poll() is None:
                family += psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
            _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
            for left in alive:
                left.kill()
            assert not alive, f"the server left {alive} behind"
