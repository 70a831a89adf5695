"""The file by which `whybox-server reload` finds the running server, and reads how its upgrades went."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

_NAME = "whybox-server.json"
_POLL_SECONDS = 0.1
# Two processes compute the start of a third one apart while the clock is being set.
_SAME_SECONDS = 5.0


class ReloadError(Exception):
    """The server cannot be found, or its upgrade failed; the message says why."""


@dataclass(frozen=True)
class _Noted:
    """What the file says.

    Attributes:
        pid: Process of the server.
        created: When it started, in seconds since the epoch.
        begun: Number of upgrades that have begun.
        ended: Number of those that have ended, well or not.
        failure: Why the last of them failed; empty if it did not.
    """

    pid: int
    created: float
    begun: int = 0
    ended: int = 0
    failure: str = ""


class Notes:
    """The file of this process, there from the first note until `remove`.

    Args:
        folder: Folder for logs.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._noted = _Noted(os.getpid(), psutil.Process().create_time())

    def write(self) -> None:
        """Tells that this process takes SIGHUP for an upgrade."""
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(self._noted)))
        unfinished.replace(self._path)

    def begins(self) -> None:
        """An upgrade begins; it reads what is in the store from now on."""
        self._noted = replace(self._noted, begun=self._noted.begun + 1)
        self.write()

    def ends(self, failure: str = "") -> None:
        """An upgrade has ended; with the reason if it failed."""
        self._noted = replace(self._noted, ended=self._noted.begun, failure=failure)
        self.write()

    def remove(self) -> None:
        """Removes the file, unless another server has written it since."""
        noted = _read(self._path)
        if noted is not None and noted.pid == self._noted.pid:
            self._path.unlink(missing_ok=True)


def reload(folder: Path) -> int:
    """Has the running server upgraded, and waits until it serves what its store holds now.

    Args:
        folder: Its folder for logs.

    Returns:
        Its process id.

    Raises:
        ReloadError: There is none, it may not be signalled, it ended, or its upgrade failed: then it serves on what it
            served before.
    """
    path = folder / _NAME
    noted = _read(path)
    if noted is None or not _lives(noted):
        raise ReloadError(f"no server runs with its logs in {folder.resolve()}; give the --log-dir of the server")
    # An upgrade that begins after the number was read sees all that was in the store then.
    known = noted.begun
    try:
        os.kill(noted.pid, signal.SIGHUP)
    except ProcessLookupError:
        raise ReloadError(f"the server (process {noted.pid}) has just ended") from None
    except PermissionError:
        raise ReloadError(f"process {noted.pid} belongs to another user; reload it as that user") from None
    while (noted := _read(path) or noted).ended <= known:
        if not _lives(noted):
            raise ReloadError(f"the server (process {noted.pid}) ended before it was reloaded; see its log")
        time.sleep(_POLL_SECONDS)
    if noted.failure:
        raise ReloadError(f"the server goes on with what it served before: {noted.failure}")
    return noted.pid


def _lives(noted: _Noted) -> bool:
    try:
        process = psutil.Process(noted.pid)
        # Another process may have the same id by now.
        return abs(process.create_time() - noted.created) < _SAME_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _read(path: Path) -> _Noted | None:
    try:
        return _Noted(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
