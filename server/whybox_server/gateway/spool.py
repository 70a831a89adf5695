"""Pictures on their way to the workers: one file for all the work on a request.

Inside of a message each step through protobuf, gRPC and Java would copy it. On a disk the journal of the file system
would take part of the gateway's time, so the file lies in memory where there is room.

The file is also the worker's licence to go on: it is removed when the caller has its answer or is gone.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_MEMORY = Path("/dev/shm")  # noqa: S108 (a private folder is made in it)
_PREFIX = "whybox-pictures-"


def folder_in_memory(room: int, memory: Path = _MEMORY) -> Path | None:
    """Where files lie in memory; None if there is no such place, or less than `room` bytes are free in it."""
    if not os.access(memory, os.W_OK | os.X_OK) or shutil.disk_usage(memory).free < room:
        return None
    return memory


class Spool:
    """A folder that only we can read, and that is gone after the `with` block.

    What a server that was killed left there is removed at the next start.

    Args:
        parent: Where it is made; None for the folder of temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        _remove_orphans(parent or Path(tempfile.gettempdir()))
        self._make_folder()
        self._count = 0

    @contextmanager
    def lent(self, picture: bytes) -> Iterator[Path]:
        """The picture as a file, while the caller waits for the answer."""
        if not self._folder.is_dir():
            # Cleaners of temporary folders remove those that were not used for days.
            os.close(self._lock)
            self._make_folder()
        self._count += 1
        path = self._folder / str(self._count)
        try:
            path.write_bytes(picture)
            # The file is enough: the caller's bytes need not outlive the wait for the answer.
            del picture
            yield path
        finally:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def _make_folder(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        # Says that the folder is in use, for as long as this process lives.
        self._lock = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        # Those of other users cannot be opened; those in use cannot be locked.
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
