"""The demo: it runs the commands that a newcomer would type first."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MODEL = "efficientnet-lite0"
# A dalmatian, one of the ImageNet pictures in the foolbox package.
_PICTURE = "data/imagenet_16_251.jpg"
_BIN = Path(sys.executable).parent
_STOP_SECONDS = 30


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def run_demo(model_store: Path, save: Path, say: Callable[[str], None]) -> None:
    """Packs the default model, serves it, analyses one picture over REST and one over gRPC, and stops the server.

    Args:
        model_store: Folder with the spec of the default model.
        save: Folder for the pictures of the answer.
        say: Called with each command before it runs.

    Raises:
        DemoError: A command failed; its own output says why.
    """
    picture = _example_picture()
    _run(say, "whybox-server", "pack", str(model_store / f"{_MODEL}.yaml"))
    with _server(model_store, say) as (rest, grpc):
        analyze = ["analyze", str(picture), "--method", "grad_cam", "--method", "integrated_gradients"]
        _run(say, "whybox", *analyze, "--url", rest, "--save", str(save))
        _run(say, "whybox", *analyze, "--url", grpc)
    say("the server has stopped; `make serve` starts one that keeps serving")


def _example_picture() -> Path:
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise DemoError("the foolbox package with the demo's picture is missing; install whybox[server]")
    return Path(spec.origin).parent / _PICTURE


def _run(say: Callable[[str], None], command: str, *arguments: str) -> None:
    say(f"$ {' '.join([command, *arguments])}")
    if subprocess.run([_BIN / command, *arguments], check=False).returncode != 0:
        raise DemoError(f"{command} failed; see its output above")


@contextmanager
def _server(model_store: Path, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Runs a server on free ports inside the block; yields its REST and gRPC addresses when it is ready."""
    arguments = ["serve", "--model-store", str(model_store), "--model", _MODEL, "--rest-port", "0", "--grpc-port", "0"]
    say(f"$ whybox-server {' '.join(arguments)} &")
    with subprocess.Popen([_BIN / "whybox-server", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            addresses: dict[str, str] = {}
            for line in process.stdout or ():
                print(line, end="", flush=True)  # noqa: T201 (the output of the server)
                what, _, rest = line.partition(" on ")
                if rest:
                    addresses[what] = rest.split()[0]
                if line.startswith("ready"):
                    break
            else:
                raise DemoError("the server ended before it was ready; see its output above")
            yield addresses["REST"], addresses["gRPC"]
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
