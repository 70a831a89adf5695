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

MARK = "WHYBOX_RAY"
"""Environment variable that all processes of Ray inherit; its value is the temporary folder."""


@contextmanager
def cleared(folder: str) -> Iterator[None]:
    """Clears up after the block, also if this process is killed in it.

    Args:
        folder: Temporary folder of Ray. Processes started inside the block are marked with it.
    """
    os.environ[MARK] = folder
    # In a session of its own it outlives the Ctrl-C of a terminal. It waits for the end of its stdin.
    watch = [sys.executable, "-I", __file__, folder]
    with subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True):
        try:
            yield
        finally:
            del os.environ[MARK]


def _clear(folder: str) -> None:
    """Kills the processes marked with a folder, and removes it. Only Linux tells the marks."""
    mark = f"{MARK}={folder}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        number = int(environment.parent.name)
        with suppress(OSError):
            if number != os.getpid() and mark in environment.read_bytes().split(b"\0"):
                os.kill(number, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    _clear(sys.argv[1])
