"""What an interrupted run made of pictures: kept until the study is whole, so that the next run goes on.

The record of a picture is named by the digest of all that its files depend on, and holds the digests of these files. A
record of something else is never found, and one whose files are damaged counts as none.
"""

import hashlib
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from whybox_server.audits.passes.pictures import digest_of
from whybox_server.audits.passes.workers import libraries
from whybox_server.studies.creation.asked import Making, Wanted
from whybox_server.studies.creation.predictions import WORK
from whybox_server.studies.protocol import Item, canonical

_MADE = "made"
_ITEMS = TypeAdapter(tuple[Item, ...])


class Kept:
    """The items of the pictures that are made already.

    Args:
        save: Folder of the study; it exists.
        making: What is the same for all pictures.

    Raises:
        OSError: The model or a picture cannot be read.
    """

    def __init__(self, save: Path, making: Making) -> None:
        self._save, self._pictures = save, making.folder
        self._records = _folder(save)
        self._records.mkdir(parents=True, exist_ok=True)
        settings = asdict(making) | {
            "archive": digest_of(making.archive),
            "folder": "",
            "cells": [cell.name for cell in making.cells],
            "attack": making.attack.hex(),
            "known": sorted(making.known),
            "others": [(file, digest_of(making.folder / file)) for file in making.others],
            "libraries": libraries() | {name: version(name) for name in ("numpy", "pillow")},
        }
        self._settings = canonical(settings)

    def items(self, wanted: Wanted) -> tuple[Item, ...] | None:
        """The items of a picture; None if it is to be made."""
        try:
            items = _ITEMS.validate_json(self._record(wanted).read_bytes())
            whole = all(digest_of(self._save / file.path) == file.sha256 for item in items for file in item.files())
        except (FileNotFoundError, ValidationError):
            return None
        return items if whole else None

    def keep(self, wanted: Wanted, items: tuple[Item, ...]) -> None:
        """Notes the items of a picture whose files are written."""
        record = self._record(wanted)
        part = record.with_suffix(".part")
        part.write_bytes(_ITEMS.dump_json(items))
        part.replace(record)

    def _record(self, wanted: Wanted) -> Path:
        # What was predicted names a digest, but the file may be another one by now.
        depends = [self._settings, type(wanted).__name__, asdict(wanted), digest_of(self._pictures / wanted.file)]
        return self._records / f"{hashlib.sha256(canonical(depends).encode()).hexdigest()}.json"


def forget(save: Path) -> None:
    """Removes the records, once the study is whole or is to be made anew."""
    shutil.rmtree(_folder(save), ignore_errors=True)


def _folder(save: Path) -> Path:
    return save / WORK / _MADE
