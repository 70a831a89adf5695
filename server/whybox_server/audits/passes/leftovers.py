"""Ends what Ray leaves behind if the command that started it is killed; a program that imports nothing of Whybox.

Ray's own processes end with the command, but some take two minutes, and its temporary folder stays.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Processes that are starting may not have been there before.
_SWEEPS = 5


@contextmanager
def cleared(folder: str) -> Iterator[None]:
    """Clears up after the block, also if this process is killed in it.

    Args:
        folder: Temporary folder of Ray, in which each of its processes writes a log.
    """
    # In a session of its own it outlives the Ctrl-C of a terminal. It waits for the end of its stdin.
    watch = [sys.executable, "-I", __file__, folder]
    with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _clear(folder: str) -> None:
    """Kills the processes that have a file of the folder open, and removes it.

    Only Linux tells the files. Names and environments tell nothing: Ray's processes write over both.
    """
    for _ in range(_SWEEPS):
        if not any([_killed(process, folder) for process in Path("/proc").glob("[0-9]*")]):  # noqa: C419 (all of them)
            break
    shutil.rmtree(folder, ignore_errors=True)


def _killed(process: Path, folder: str) -> bool:
    # A process may end before its files are listed, or belong to another user.
    with suppress(OSError):
        number = int(process.name)
        # The command itself has its log there, and may be about to end well.
        if number != os.getppid() and any(
            str(link.readlink()).startswith(f"{folder}/") for link in (process / "fd").iterdir()
        ):
            os.kill(number, signal.SIGKILL)
            return True
    return False


if __name__ == "__main__":
    sys.stdin.read()
    _clear(sys.argv[1])
