"""The manifest of an audit as JSON: what it rests on, and all that it finds."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whybox_server.audits.calibration.run import SCORES, Calibrated
from whybox_server.audits.criticism.findings import EXAMPLES, Findings
from whybox_server.audits.data.columns import Column
from whybox_server.audits.data.dataset import DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.journal import Journal
from whybox_server.audits.passes.pictures import PICTURES, digest_of
from whybox_server.audits.report.groups import Group
from whybox_server.audits.report.rounds import Rounds

MANIFEST = "audit.json"
"""Name of the manifest in the folder of the results."""

_ID_DIGITS = 16
_NOTES = {
    "audit": f"the first {_ID_DIGITS} digits of inputs_sha256",
    "inputs_sha256": "digest of the settings, the columns, and each picture with its label and cells; where they lie"
    " has no influence",
    "distance": "the smallest change found that makes the answer wrong: an upper bound on the smallest there is",
    "columns": "all columns of the table, what each is for, and why it is not tested",
    "groups": "accuracy and confidence by value, over all classes; they test nothing",
    "flags": "one for each question that was asked, with the fields of the contract's BiasFlag; none of the states"
    " means unbiased",
    "tails": "for each flag, the share of its value among the prototypes and the criticisms",
    "repeat": "how flagged distance effects were measured again, and with which pictures; null if none was",
    "agreement": "how the attack of the paper ranks a sample of each class, beside the audit's; null if not asked for",
    "calibration": "the pictures that prediction sets rest on, and how often sets had the right class of others",
    "classes": f"the first {EXAMPLES} prototypes, criticisms and misclassified pictures of each class; {PICTURES} has"
    " all",
}

# What readers of a manifest and of its flags rest on.
_FIELDS = {
    "audit": str,
    "settings": dict,
    "statistics": dict,
    "data": dict,
    "files": dict,
    "flags": list,
    "classes": list,
}
_FLAG_FIELDS = dict.fromkeys(("id", "kind", "class_label", "attribute", "value", "state"), str)


def inputs_digest(settings: Mapping[str, Any], data: DataSet, journal: Journal) -> str:
    """The digest of all that the findings rest on, in hexadecimal.

    Args:
        settings: Everything but the pictures, as JSON values.
        data: The pictures.
        journal: Their records, which know the digests of the files.
    """
    digest = hashlib.sha256(_line(settings))
    # The cells alone do not tell what they are asked about.
    digest.update(_line([column.name for column in data.columns]))
    for row in data.rows():
        record = journal[row.file]
        digest.update(_line([row.file, row.label, row.cells, record.sha256, record.predicted, record.confidence]))
    return digest.hexdigest()


def audit_id(inputs: str) -> str:
    """The id of an audit with these inputs; see `inputs_digest`."""
    return inputs[:_ID_DIGITS]


def write_manifest(
    folder: Path,
    inputs: str,
    settings: Mapping[str, Any],
    data: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    groups: Sequence[Group],
    findings: Findings,
    rounds: Rounds,
    calibrated: Calibrated | None = None,
) -> dict[str, Any]:
    """Writes `MANIFEST`; the same measurements give the same bytes.

    Args:
        folder: Folder of the results, which holds the table of the pictures.
        inputs: From `inputs_digest`.
        settings: As for `inputs_digest`.
        data: What the data set holds, with the pictures that were not measured.
        columns: From `column_entries`.
        groups: Accuracy by group.
        findings: What the statistics say.
        rounds: What was measured once they were known.
        calibrated: The calibration of prediction sets; None without one.

    Returns:
        Its content.
    """
    found = findings.to_entries()
    files = {table: {"sha256": digest_of(folder / table)} for table in (PICTURES, *rounds.tables)}
    if calibrated is not None:
        files[SCORES] = {"sha256": calibrated.sha256}
    manifest = {
        "audit": audit_id(inputs),
        "inputs_sha256": inputs,
        "notes": _NOTES,
        "settings": settings,
        "statistics": found.pop("manifest"),
        "data": data,
        "files": files,
        **rounds.entries,
        **found,
        "columns": columns,
        "groups": [group.to_entries() for group in groups],
        "calibration": None if calibrated is None else calibrated.entries,
    }
    written = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    part = folder / f"{MANIFEST}.part"
    part.write_text(written + "\n")
    part.replace(folder / MANIFEST)
    content: dict[str, Any] = json.loads(written)
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of the manifest of an audit.

    Args:
        folder: What `whybox-server audit` wrote.

    Raises:
        DataSetError: The folder holds no audit.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise DataSetError(f"{folder} holds no audit ({error}); give the folder that an audit wrote") from error
    if not (isinstance(manifest, dict) and _has(manifest, _FIELDS) and all(map(_is_flag, manifest["flags"]))):
        raise DataSetError(f"{folder / MANIFEST} is damaged, or of another version of Whybox; run the audit again")
    return manifest


def _is_flag(entry: object) -> bool:
    return isinstance(entry, dict) and _has(entry, _FLAG_FIELDS) and bool(entry["id"])


def _has(entries: Mapping[str, Any], fields: Mapping[str, type]) -> bool:
    return all(isinstance(entries.get(name), kind) for name, kind in fields.items())


def column_entries(columns: Iterable[Column], findings: Findings) -> list[dict[str, Any]]:
    """Each column with what the statistics made of it.

    Args:
        columns: The columns of the table, and covariates that are tested or adjusted for.
        findings: What the statistics say.
    """
    fates = {column.name: column for column in findings.columns}
    entries = []
    for column in columns:
        fate = fates.get(column.name)
        reason = column.reason or (fate.reason if fate else "")
        entries.append({**asdict(column), "tested": fate is not None and fate.tested, "reason": reason})
    listed = {entry["name"] for entry in entries}
    crossings = [asdict(fate) for name, fate in fates.items() if name not in listed]
    return [*entries, *crossings]


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n"
