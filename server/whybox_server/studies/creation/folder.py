"""The protocol in the folder of a study."""

from pathlib import Path

from pydantic import ValidationError

from whybox_server.studies.collecting.folders import PROTOCOL
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Protocol


def write_protocol(folder: Path, protocol: Protocol) -> None:
    """Writes the protocol; a file that is there is replaced once the new one is whole."""
    part = folder / f"{PROTOCOL}.part"
    part.write_text(protocol.model_dump_json(indent=1) + "\n", encoding="utf-8")
    part.replace(folder / PROTOCOL)


def read_protocol(folder: Path) -> Protocol:
    """The protocol in the folder of a study; the files that it names are not looked at.

    Raises:
        StudyError: The folder holds no study, or that of another version of Whybox.
    """
    path = folder / PROTOCOL
    try:
        return Protocol.model_validate_json(path.read_bytes())
    except OSError as error:
        remedy = "give the folder that whybox-server study create wrote"
        raise StudyError(f"{folder} holds no study ({PROTOCOL}: {error.strerror or error}); {remedy}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = f"{where}: {first['msg']}"
        raise StudyError(f"{path} is no protocol of this version ({reason}); create the study anew") from error
