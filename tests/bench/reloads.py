"""`make bench`: a minute of load over three reloads of a real server; no request may fail.

Each of the four callers asks for a prediction, or for a prediction and Grad-CAM, over REST or gRPC, again 0.4 s after
each answer. Each reload brings a new version of the model and takes the oldest away.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from reloads import load, pack_again, reload, wait_for_version, wait_until_gone
from servers import serving
from whybox_server.packing.pack import pack_model

SPEC = Path(__file__).parents[2] / "model_store" / "efficientnet-lite0.yaml"
RELOADS = 3
SECONDS = 60.0
DALMATIAN = 251


def dalmatian() -> bytes:
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise SystemExit("the picture of this benchmark is in the foolbox package; install whybox[server]")
    return (Path(spec.origin).parent / f"data/imagenet_16_{DALMATIAN}.jpg").read_bytes()


def main(archive: Path | None = None) -> None:
    """Prints the table.

    Args:
        archive: The packed model, in version 1.0; packed anew without one.
    """
    out = Console(width=100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archive = archive or pack_model(SPEC, folder / "packed", lambda _: None, "export").archive
        store = folder / "store"
        store.mkdir()
        versions = [pack_again(archive, store, "1.0")]
        with serving(store, folder / "logs") as server, load(server, dalmatian(), DALMATIAN) as seen:
            started = time.monotonic()
            took, left = [], 0
            for number in range(1, RELOADS + 1):
                before = server.family()
                wait_for_version(seen, f"1.{number - 1}")
                versions.append(pack_again(archive, store, f"1.{number}"))
                versions.pop(0).unlink()
                began = time.monotonic()
                done = reload(server)
                if done.returncode:
                    raise SystemExit(done.stderr)
                took.append(time.monotonic() - began)
                wait_for_version(seen, f"1.{number}")
                left += len(wait_until_gone(before))
            time.sleep(max(0.0, SECONDS - (time.monotonic() - started)))
            seconds = time.monotonic() - started
        table = Table(title=f"{seconds:.0f} s of load over {RELOADS} reloads")
        for column in ("answers", "failed", "seconds of each reload", "processes left of the old ones"):
            table.add_column(column, justify="right")
        each = ", ".join(f"{each:.1f}" for each in took)
        table.add_row(str(sum(seen.answered.values())), str(len(seen.failed)), each, str(left))
        out.print(table)
        for failure in seen.failed:
            out.print(failure, markup=False)
        if seen.failed or left:
            raise SystemExit(1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
