"""How many pictures a pass measured, and which it did not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whybox_server.audits.data.dataset import DataSet, Listed
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.journal import Journal


@dataclass(frozen=True)
class Faults:
    """The pictures that were not measured, each with `file` and `error`.

    Attributes:
        unreadable: Those that cannot be decoded.
        failed: Those on which the network or the attack failed; another run tries them again.
    """

    unreadable: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)


def faults(data: Listed, journal: Journal) -> Faults:
    """The pictures that were not measured, sorted by file."""
    found = Faults()
    for picture in data.pictures():
        if journal.fingerprint(picture.file) is None:
            record = journal[picture.file]
            kind = found.failed if record.failed else found.unreadable
            kind.append({"file": record.file, "error": record.error})
    return found


def counts(data: DataSet, copies: Copies, missing: Faults) -> dict[str, Any]:
    """What the data set holds, in numbers."""
    pictures = len(data)
    measured = pictures - len(missing.unreadable) - len(missing.failed)
    return {
        "folder": None if data.folder is None else str(data.folder),
        "pictures": pictures,
        "measured": measured,
        "counted": measured - copies.same,
        "same": copies.same,
        "near": copies.near,
        "contradictory": copies.contradictory,
        "not_of_the_model": data.not_of_the_model,
        "left_out": data.left_out,
        "unlabelled": data.unlabelled,
    }


def left_out(numbers: Mapping[str, Any], missing: Faults, report: str) -> list[str]:
    """The pictures that the numbers of a report leave out, in words.

    Args:
        numbers: From `counts`.
        missing: The pictures that were not measured.
        report: Name of the file that lists them.
    """
    again = "the same command tries them again"
    said = {
        f"pictures that cannot be decoded (listed in {report})": len(missing.unreadable),
        f"pictures on which the attack failed (listed in {report}; {again})": len(missing.failed),
        "files that are the same as another one of their class, counted once": numbers["same"],
        "files that are the same as one of another class: one of their labels is wrong": numbers["contradictory"],
        "near-duplicates, kept together in splits": numbers["near"],
        "pictures that do not meet --where": numbers["left_out"],
        "pictures that show no class of the model": numbers["not_of_the_model"],
        "pictures without a label": numbers["unlabelled"],
    }
    return [f"{what}: {number}" for what, number in said.items() if number]
