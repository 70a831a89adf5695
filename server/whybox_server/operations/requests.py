"""The requests of unfinished operations, with their pictures: one file each, which only we can read."""

import asyncio
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError

from whybox import v1
from whybox_server.operations.errors import OperationsError

# The file that says whose folder it is, and is locked while its server runs. Ids of operations have 22 characters.
_SERVER = "server"
_ID_BYTES = 16
_PRIVATE = 0o600


def new_id() -> str:
    """An id that nobody can guess: 22 characters of A-Z a-z 0-9 _ -."""
    return secrets.token_urlsafe(_ID_BYTES)


class Requests:
    """A folder of one server.

    Attributes:
        server: Id of the server whose folder it is; it stays the same as long as the folder does.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self.server = server

    async def keep(self, name: str, request: v1.AnalyzeRequest) -> None:
        """Writes a request; it is on the disk when this returns.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        await asyncio.to_thread(self._write, name, request)

    async def read(self, name: str) -> v1.AnalyzeRequest | None:
        """A request; None if it is no longer there, or not whole."""
        try:
            return v1.AnalyzeRequest.FromString(await asyncio.to_thread((self._folder / name).read_bytes))
        except (OSError, DecodeError):
            return None

    def forget(self, name: str) -> None:
        """Removes a request, if it is there."""
        (self._folder / name).unlink(missing_ok=True)

    def forget_others(self, names: set[str]) -> None:
        """Removes all requests but these."""
        for path in self._folder.iterdir():
            if path.name not in names and path.name != _SERVER:
                path.unlink()

    def _write(self, name: str, request: v1.AnalyzeRequest) -> None:
        path = self._folder / name
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as file:
                file.write(request.SerializeToString())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def requests_in(folder: Path) -> Iterator[Requests]:
    """The requests in a folder, which is made if it is missing, and belongs to us as long as the context lasts.

    Raises:
        OperationsError: The folder cannot be used, or another server uses it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / _SERVER, os.O_RDWR | os.O_CREAT, _PRIVATE)
    except OSError as error:
        raise OperationsError(
            f"the folder of operations {folder} cannot be used ({error.strerror}): make it writable, or name another"
            " with WHYBOX_OPERATION_DIR"
        ) from error
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationsError(
                f"another server keeps its operations in {folder}: name another folder with WHYBOX_OPERATION_DIR"
            ) from None
        server = file.read()
        if not server:
            server = new_id()
            file.write(server)
            file.flush()
        yield Requests(folder, server)
