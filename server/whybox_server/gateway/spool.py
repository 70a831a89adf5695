"""Pictures on their way to the workers: one file for all the work on a request.

Inside of a message each step through protobuf, gRPC and Java would copy it.

The file is also the worker's licence to go on: it is removed when the caller has its answer or is gone.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


class Spool:
    """A folder that only we can read, and that is gone after the `with` block."""

    def __init__(self) -> None:
        self._folder = _private_folder()
        self._count = 0

    @contextmanager
    def lent(self, picture: bytes) -> Iterator[Path]:
        """The picture as a file, while the caller waits for the answer."""
        if not self._folder.is_dir():
            # Cleaners of temporary folders remove those that were not used for days.
            self._folder = _private_folder()
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


def _private_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="whybox-pictures-"))
