"""Where TorchServe puts its files: a private folder with a short path, and a folder for logs."""

import os
import sys
import tempfile
from pathlib import Path

LOG, OUTPUT = "torchserve.log", "torchserve.out"
"""Names in the folder for logs: TorchServe's own log with those of its workers, and what Java prints."""

# Longest path of a Unix socket in bytes; see unix(7).
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
_PREFIX = "whybox-"
# The longest path of a socket below a folder for temporary files.
_BELOW = f"/{_PREFIX}12345678/management.sock"
_OTHERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (`mkdtemp` makes a private folder in it)


class FolderError(Exception):
    """A folder cannot serve its purpose; the message says what to do."""


def private_folder() -> Path:
    """Makes a folder that this user alone can read, with room for the paths of Unix sockets.

    It lies in the folder for temporary files, or in another usual one if that path is too long.

    Raises:
        FolderError: No folder has a path that is short enough and can be written.
    """
    usual = tempfile.gettempdir()
    for parent in (usual, *_OTHERS):
        if len(os.fsencode(parent + _BELOW)) <= _SOCKET_PATH_BYTES:
            try:
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            except OSError:
                continue
    longest = _SOCKET_PATH_BYTES - len(_BELOW)
    raise FolderError(
        f"there is no folder for the sockets of TorchServe: {usual}, {', '.join(_OTHERS)} cannot be written, or their"
        f" paths are longer than {longest} bytes; set TMPDIR to a folder with a shorter path"
    )


def check_log_folder(folder: Path) -> None:
    """Makes the folder for logs, and checks that the logs in it can be written.

    Raises:
        FolderError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot create the folder {folder} for logs; choose another with --log-dir") from error
    try:
        # Logs are rotated: new files come while the server runs.
        with tempfile.TemporaryFile(dir=folder):
            pass
        for name in (LOG, OUTPUT):
            with (folder / name).open("ab"):
                pass
    except OSError as error:
        raise FolderError(
            f"cannot write logs in the folder {folder}: {error}; make it writable or choose another with --log-dir"
        ) from error
