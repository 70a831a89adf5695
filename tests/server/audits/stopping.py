"""Commands that are interrupted or killed in the middle."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psutil

from server.audits import quick_audits
from whybox_server.audits.passes.journal import JOURNAL


def kept(save: Path) -> int:
    """Number of records in the journal of a folder."""
    path = f"file:{save}/{JOURNAL}?mode=ro"
    # Without a file, or without tables in it, there are none.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, uri=True)) as journal:
        (number,) = journal.execute("SELECT count(*) FROM pictures").fetchone()
        return int(number)
    return 0


def stopped(arguments: Sequence[str], number: signal.Signals, when: Callable[[], object]) -> str:
    """Stops `quick_audits` at a moment, checks that no process is left, and returns its stderr."""
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(
            [sys.executable, quick_audits.__file__, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            env=os.environ | {"MOMENT": "0.1"},
        ) as process,
    ):
        _wait_for(when)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        if number == signal.SIGKILL:
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
        else:  # as a terminal does it: to all of them
            os.killpg(process.pid, number)
            assert process.wait(60) == 128 + number
        _wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
        stderr.seek(0)
        return stderr.read()


def _wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
