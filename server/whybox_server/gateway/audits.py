"""The files of audits in the archives of models: read when they are asked for, off the event loop, in pieces."""

import asyncio
import zipfile
from collections.abc import AsyncGenerator, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, NotFoundError, OverloadedError
from whybox_server.validation.archives import audit_member
from whybox_server.validation.checks import quoted

PIECE_BYTES = 256 * 2**10
"""The largest piece of a file; each file on its way holds one in memory."""
MAX_DOWNLOADS = 32
"""Files on their way at once; more are refused, so that callers who read slowly cannot fill the memory."""

_RETRY_SECONDS = 1.0


class AuditFiles:
    """The archives of audited models, open inside of the `with` block.

    An archive that is packed again in the meantime is another file at the same path: what is served is what was there
    at the start, as the manifest says.

    Args:
        archives: Packed models by the path of their archive.
    """

    def __init__(self, archives: Mapping[Path, v1.Model]) -> None:
        self._paths = {(model.name, model.version): path for path, model in archives.items() if model.HasField("audit")}
        self._archives: dict[tuple[str, str], zipfile.ZipFile] = {}
        self._stack = ExitStack()
        self._downloads = 0

    def __enter__(self) -> Self:
        for key, path in self._paths.items():
            self._archives[key] = self._stack.enter_context(zipfile.ZipFile(path))
        # One thread: pieces are read in microseconds, and open archives are not safe to share between threads. It ends
        # before they are closed.
        self._thread = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="audits"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    async def read(
        self,
        model: v1.Model,
        format: str,  # noqa: A002 (as in the contract)
        seconds: float,
        piece_bytes: int = PIECE_BYTES,
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces.

        Args:
            model: A model with an audit.
            format: See `AuditFile.format`.
            seconds: Within which the last piece is asked for. Then the file makes room for others, even if its reader
                is still busy with a piece.
            piece_bytes: Size of each piece but the last, which may be smaller.

        Raises:
            OverloadedError: `MAX_DOWNLOADS` files are on their way.
            DeadlineExceededError: The time is over.
        """
        if self._downloads >= MAX_DOWNLOADS:
            message = f"{MAX_DOWNLOADS} files of audits are on their way; try again later"
            raise OverloadedError(message, retry_after=_RETRY_SECONDS)
        loop = asyncio.get_running_loop()
        late = False
        pieces = _pieces(self._archives[model.name, model.version], audit_member(format), piece_bytes)
        with ExitStack() as held:

            def end() -> None:
                nonlocal late
                late = True
                held.close()

            self._downloads += 1
            held.callback(self._make_room)
            # In the thread, which may still be reading a piece that is no longer wanted.
            held.callback(self._thread.submit, pieces.close)
            timer = loop.call_later(seconds, end)
            try:
                while (piece := await loop.run_in_executor(self._thread, next, pieces, b"")) and not late:
                    yield piece
            finally:
                timer.cancel()
        if late:
            message = f"the file was not taken within {seconds:g} s; allow more time or take it faster"
            raise DeadlineExceededError(message)

    def _make_room(self) -> None:
        self._downloads -= 1


def _pieces(archive: zipfile.ZipFile, member: str, piece_bytes: int) -> Generator[bytes]:
    with archive.open(member) as content:
        while piece := content.read(piece_bytes):
            yield piece


def audits_of(model: v1.Model) -> list[v1.Audit]:
    """The audits of a model."""
    return [model.audit] if model.HasField("audit") else []


def audit_file(model: v1.Model, audit: str, format: str) -> v1.AuditFile:  # noqa: A002 (as in the contract)
    """A file of an audit of a model.

    Args:
        model: The model.
        audit: Id of the audit.
        format: See `AuditFile.format`.

    Raises:
        NotFoundError: The model has no such audit, or its archive no such file.
    """
    audits = {each.id: each for each in audits_of(model)}
    if audit not in audits:
        has = f"it has {', '.join(audits)}" if audits else "pack one with: whybox-server pack SPEC --bank AUDIT"
        raise NotFoundError(f"{model.name} has no audit {quoted(audit)}; {has}", reason="UNKNOWN_AUDIT", field="audit")
    for file in audits[audit].files:
        if file.format == format:
            return file
    message = (
        f"the archive of {model.name} holds findings of audit {audit} without its files; pack the folder of the audit"
        " again (--bank)"
    )
    raise NotFoundError(message, reason="UNKNOWN_AUDIT", field="audit")
