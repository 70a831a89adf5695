"""Whether the folder of a study holds what its protocol says."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from whybox_server.studies.errors import StudyChangedError
from whybox_server.studies.protocol import Protocol

PROTOCOL = "protocol.json"
_REMEDY = "bring back the folder as it was, or create a study of another name"


def check_folder(folder: Path, study_id: str, digest: str) -> Path:
    """Reads all files of a study.

    Args:
        folder: Of the study.
        study_id: Named in errors.
        digest: Of the protocol that it must hold.

    Returns:
        The folder, absolute.

    Raises:
        StudyChangedError: Protocol or files are missing, or differ.
    """
    path = folder / PROTOCOL
    try:
        protocol = Protocol.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StudyChangedError(f"study {study_id}: {path} cannot be read ({error.strerror}); {_REMEDY}") from error
    except ValidationError as error:
        raise StudyChangedError(f"study {study_id}: {path} is no protocol any more; {_REMEDY}") from error
    if protocol.digest != digest:
        raise StudyChangedError(
            f"study {study_id}: {path} has the digest {protocol.digest}, and the study opened with {digest}; {_REMEDY}"
        )
    root = folder.resolve()
    for name, file in protocol.files().items():
        inside = (root / name).resolve()
        if not inside.is_relative_to(root):
            raise StudyChangedError(f"study {study_id}: {name} leads out of {folder}; {_REMEDY}")
        try:
            found = hashlib.sha256(inside.read_bytes()).hexdigest()
        except OSError as error:
            raise StudyChangedError(
                f"study {study_id}: {inside} cannot be read ({error.strerror}); {_REMEDY}"
            ) from error
        if found != file.sha256:
            raise StudyChangedError(f"study {study_id}: {inside} differs from the protocol's; {_REMEDY}")
    return root
