"""Reading packed models without loading them."""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from google.protobuf import json_format

from whybox import v1

# All that a zip file which is damaged, or not ours, can bring about.
_UNREADABLE = (
    *(OSError, EOFError, KeyError, RuntimeError, UnicodeDecodeError),
    *(zipfile.BadZipFile, zlib.error, json_format.ParseError),
)


def audit_member(format: str) -> str:  # noqa: A002 (as in the contract)
    """The name in an archive of a file of an audit; see `AuditFile.format`."""
    return f"audit.{format}"


class ArchiveError(Exception):
    """An archive is missing or is not one of ours; the message says what to do."""


def read_manifest(archive: Path) -> v1.Model:
    """The manifest of one archive.

    Raises:
        ArchiveError: The file is no archive, or not one that this version of Whybox packed.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            model = json_format.Parse(content.read("manifest.json"), v1.Model())
        if not model.name:
            raise json_format.ParseError("the manifest names no model")
        return model
    except _UNREADABLE as error:
        raise ArchiveError(f"{archive} was not packed by this version of Whybox; pack its spec again") from error


def archive_name(name: str, version: str) -> str:
    """The name of the file of a packed model."""
    return f"{name}-{version}.mar"


def read_store(store: Path, wanted: Collection[str] = ()) -> dict[Path, v1.Model]:
    """The manifests of the archives in a folder, by path, sorted by name; a model may be there in several versions.

    Args:
        store: The folder.
        wanted: Names of the models to read, all without any; what else lies there is not looked at.

    Raises:
        ArchiveError: There is no archive, a wanted one is missing, or one cannot be read or has another name than its
            model and version give it.
    """
    paths = sorted(store.glob("*.mar"))
    if not paths:
        raise ArchiveError(f"no packed model in {store}; build one with: whybox-server pack {store}/MODEL.yaml")
    # The name of a model may be the beginning of another's.
    candidates = [path for path in paths if not wanted or path.name.startswith(tuple(f"{name}-" for name in wanted))]
    archives = {path: read_manifest(path) for path in candidates}
    for path, model in archives.items():
        if path.name != (name := archive_name(model.name, model.version)):
            raise ArchiveError(
                f"{path} holds {model.name} in version {model.version}; remove it, or give it the name {name}"
            )
    if missing := set(wanted).difference(model.name for model in archives.values()):
        held = ", ".join(path.stem for path in paths)
        raise ArchiveError(f"{store} holds no {', '.join(sorted(missing))}; it holds {held}")
    return {path: model for path, model in archives.items() if not wanted or model.name in wanted}
