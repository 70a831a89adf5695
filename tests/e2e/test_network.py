"""From another address only REST and gRPC are there: TorchServe's ports refuse, its sockets are in a private folder.

The other address is that of a network namespace, which only root may make.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from servers import Server, serving

HERE, THERE = "10.203.77.1", "10.203.77.2"
"""The two ends of the cable between the namespaces."""

# Run in the other namespace: what becomes of a connection to each port, and what REST and gRPC answer.
CALLER = """
import json, socket, sys

from whybox import Client

host, rest, grpc_port, *others = sys.argv[1:]
found = {}
for port in (rest, grpc_port, *others):
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        found[port] = "open"
    except OSError as error:
        found[port] = type(error).__name__
served = [Client(url).models()[0].name for url in (f"http://{host}:{rest}", f"grpc://{host}:{grpc_port}")]
print(json.dumps([found, served]))
"""


@dataclass(frozen=True)
class Elsewhere:
    """A network namespace that reaches this one by a cable.

    Attributes:
        name: Its name.
    """

    name: str

    def run(self, *command: str | Path) -> str:
        """What a command prints that runs there."""
        inside = ["ip", "netns", "exec", self.name, *command]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    name = f"whybox-{os.getpid()}"
    here, there = f"wb{os.getpid()}h", f"wb{os.getpid()}t"
    with ExitStack() as undoing:
        _or_skip("netns", "add", name)
        undoing.callback(_ip, "netns", "delete", name)
        _or_skip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        # With one end of the cable goes the other.
        undoing.callback(_ip, "link", "delete", here)
        _or_skip("address", "add", f"{HERE}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-netns", name, "address", "add", f"{THERE}/30", "dev", there)
        _ip("-netns", name, "link", "set", there, "up")
        yield Elsewhere(name)


def _ip(*arguments: str) -> None:
    command = ["ip", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)


def _or_skip(*arguments: str) -> None:
    try:
        _ip(*arguments)
    except FileNotFoundError:
        pytest.skip("ip is missing: install Debian's package iproute2")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made, which takes root (CAP_NET_ADMIN): {error.stderr.strip()}")


@pytest.fixture(scope="module")
def exposed(archive: Path, tmp_path_factory: pytest.TempPathFactory, elsewhere: Elsewhere) -> Iterator[Server]:  # noqa: ARG001 (skips before the server starts)
    hosts = {"WHYBOX_REST_HOST": "0.0.0.0", "WHYBOX_GRPC_HOST": "0.0.0.0", "WHYBOX_INSECURE": "true"}  # noqa: S104
    with serving(archive.parent, tmp_path_factory.mktemp("logs"), **hosts) as running:
        yield running


def processes(server: Server) -> list[psutil.Process]:
    return [psutil.Process(server.process.pid), *server.family()]


def test_the_ports_of_torchserve_cannot_be_reached(exposed: Server, elsewhere: Elsewhere) -> None:
    own = [address.rpartition(":")[2] for address in (exposed.rest, exposed.grpc)]
    listening = {
        str(each.laddr.port)
        for process in processes(exposed)
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    others = sorted(listening - set(own))
    # Inference and management of TorchServe over gRPC, which have no Unix sockets.
    assert len(others) >= 2
    found, served = json.loads(elsewhere.run(sys.executable, "-c", CALLER, HERE, *own, *others))
    assert found == dict.fromkeys(own, "open") | dict.fromkeys(others, "ConnectionRefusedError")
    assert served == ["efficientnet-lite0"] * 2


def test_the_sockets_of_torchserve_lie_in_a_private_folder(exposed: Server) -> None:
    addresses = [str(each.laddr) for process in processes(exposed) for each in process.net_connections("unix")]
    # Abstract sockets and ends without a name are no files.
    sockets = {Path(address) for address in addresses if address.startswith("/")}
    assert {"inference.sock", "management.sock"} <= {path.name for path in sockets}
    [folder] = {path.parent for path in sockets}
    told = folder.stat()
    assert (stat.S_IMODE(told.st_mode), told.st_uid) == (0o700, os.getuid())
