"""The files of a study: looked up by digest, and compared with it once more when they are read."""

import asyncio
import hashlib
from pathlib import Path

from whybox_server.studies.errors import StudyChangedError
from whybox_server.studies.protocol import File
from whybox_server.studies.state import Study

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
"""By suffix. Browsers must not guess, so that no file is taken for a page."""


class Files:
    """The files that protocols name. The index of a study is made once."""

    def __init__(self) -> None:
        self._indices: dict[str, dict[str, File]] = {}

    async def read(self, study: Study, digest: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a file; None if the protocol names no picture of this digest.

        Raises:
            StudyChangedError: The file is missing or differs.
        """
        if study.digest not in self._indices:
            self._indices[study.digest] = {file.sha256: file for file in study.protocol.files().values()}
        file = self._indices[study.digest].get(digest)
        media_type = MEDIA_TYPES.get(Path(file.path).suffix.lower()) if file else None
        if file is None or media_type is None:
            return None
        return await asyncio.to_thread(_read, study.folder / file.path, digest), media_type


def _read(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyChangedError(f"{path} cannot be read: {error.strerror}; put the folder of the study back") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise StudyChangedError(f"{path} is not the file with which the study opened; put it back")
    return content
