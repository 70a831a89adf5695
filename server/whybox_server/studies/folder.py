"""The folder of a study on the disk: its protocol, and the files that people see."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from whybox_server.studies.errors import StudyChangedError, StudyError
from whybox_server.studies.protocol import File, Protocol

PROTOCOL = "protocol.json"
"""Name of the protocol in the folder of a study."""

_CHANGED = "what people see must not change: put the file back, or create a study anew"


def write_protocol(folder: Path, protocol: Protocol) -> None:
    """Writes the protocol; a file that is there is replaced once the new one is whole."""
    part = folder / f"{PROTOCOL}.part"
    part.write_text(protocol.model_dump_json(indent=1) + "\n", encoding="utf-8")
    part.replace(folder / PROTOCOL)


def read_protocol(folder: Path) -> Protocol:
    """The protocol in the folder of a study; its files are not looked at.

    Raises:
        StudyError: The folder holds no study, or that of another version of Whybox.
    """
    try:
        written = (folder / PROTOCOL).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "give the folder that whybox-server study create wrote"
        raise StudyError(f"{folder} holds no study ({PROTOCOL}: {reason}); {remedy}") from error
    try:
        return Protocol.model_validate_json(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        remedy = "create the study anew"
        raise StudyError(
            f"{folder / PROTOCOL} is no protocol of this version ({where}: {first['msg']}); {remedy}"
        ) from (error)


def load_folder(folder: Path) -> Protocol:
    """The protocol in the folder of a study, all files of which are as they were made.

    Raises:
        StudyError: The folder holds no study.
        StudyChangedError: A file is missing or has changed.
    """
    protocol = read_protocol(folder)
    for fault in _faults(folder, protocol):
        raise StudyChangedError(f"{fault}; {_CHANGED}")
    return protocol


def _faults(folder: Path, protocol: Protocol) -> Iterator[str]:
    inside = folder.resolve()
    for path, file in protocol.files().items():
        if not (folder / path).resolve().is_relative_to(inside):
            yield f"{folder / PROTOCOL} names {path}, which is not in {folder}"
        elif fault := _fault(folder / path, file):
            yield fault


def _fault(path: Path, file: File) -> str:
    """What is wrong with a file; "" if nothing is."""
    try:
        with path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        return f"{path} cannot be read ({error.strerror or error})"
    return "" if found == file.sha256 else f"{path} has changed since the study was created"
