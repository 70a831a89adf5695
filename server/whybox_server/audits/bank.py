"""From the results of an audit to the bank and the files that are packed with its model."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from whybox import v1
from whybox.v1.vocabulary import AUDIT_FORMATS
from whybox_server.audits.calibration.thresholds import read_calibration, read_thresholds
from whybox_server.audits.criticism.pictures import Measurements
from whybox_server.audits.data.columns import TRAINED_ON
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.notes import Note, by_flag, read_notes
from whybox_server.audits.passes.pictures import PICTURES, digest_of
from whybox_server.audits.report.manifest import MANIFEST, read_manifest
from whybox_server.validation.archives import audit_member

# What a cell of the column `trained_on` holds for a picture that the model was not trained on, or that is not known.
_NOT_TRAINED_ON = ("", "0", "false", "no", "unknown")


def read_bank(folder: Path) -> v1.Bank:
    """The findings and the distances of an audit, class by class.

    Args:
        folder: What `whybox-server audit` wrote.

    Raises:
        DataSetError: The folder holds no audit, its files belong to different audits, or no model was audited.
    """
    try:
        return _bank(folder, read_manifest(folder))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, json_format.ParseError) as error:
        why = f"{type(error).__name__}: {error}"
        raise DataSetError(
            f"{folder} holds no audit that can be read ({why}); give the folder that whybox-server audit wrote"
        ) from error


def read_files(folder: Path, audit: v1.Audit) -> dict[str, bytes]:
    """The files of an audit as they are packed, by `AuditFile.format`.

    Args:
        folder: As for `read_bank`.
        audit: From `read_bank`.

    Raises:
        DataSetError: A file has changed since, or cannot be read.
    """
    files = {}
    for noted in audit.files:
        path = folder / audit_member(noted.format)
        try:
            files[noted.format] = content = path.read_bytes()
        except OSError as error:
            raise DataSetError(f"{path} cannot be read: {error}") from error
        if hashlib.sha256(content).hexdigest() != noted.sha256:
            raise DataSetError(f"{path} has changed while it was read; pack again")
    return files


def _bank(folder: Path, manifest: Mapping[str, Any]) -> v1.Bank:
    settings, options = manifest["settings"], manifest["statistics"]["options"]
    if "digests" not in settings:
        raise DataSetError(f"{folder} audited a table of predictions; pack an audit of pictures and a model")
    table = folder / PICTURES
    if digest_of(table) != manifest["files"][PICTURES]["sha256"]:
        raise DataSetError(f"{table} is not the table that {folder / MANIFEST} was made from; run the audit again")
    columns = [column["name"] for column in manifest["columns"] if column.get("role") == TRAINED_ON]
    pictures = PictureTable(table, columns)
    if [criticised["class_index"] for criticised in manifest["classes"]] != pictures.classes:
        raise DataSetError(f"{folder / MANIFEST} and {table} have different classes; run the audit again")
    flags = _flags(manifest, by_flag(read_notes(folder)))
    if not flags.keys() <= set(pictures.classes):
        raise DataSetError(f"{folder / MANIFEST} has flags of classes without pictures; run the audit again")
    classes, number = [], 0
    for criticised, (index, part) in zip(manifest["classes"], pictures.parts(), strict=True):
        number += len(part)
        right = part.only(np.flatnonzero(part.right))
        findings = v1.Bias(
            flags=flags.get(index, []),
            prototypes=map(_example, criticised["prototypes"]),
            criticisms=map(_example, criticised["criticisms"]),
            audit_id=manifest["audit"],
        )
        if findings.prototypes:
            findings.norm = options["primary_norm"]
        classes.append(
            v1.AuditedClass(
                class_index=index,
                findings=findings,
                distances=_distances(right),
                trained_on=_trained_on(right),
            )
        )
    audit = v1.Audit(
        id=manifest["audit"],
        data_set=Path(manifest["data"]["folder"]).name or manifest["data"]["folder"],
        pictures=number,
        classes=len(classes),
        attributes=dict.fromkeys(flag.attribute for each in flags.values() for flag in each),
        attack=settings["attack"],
        norms=settings["norms"],
        primary_norm=options["primary_norm"],
        budget=settings["budget"],
        trained_on=sum(each.trained_on for each in classes),
        model=settings["model"],
        version=settings["version"],
        files=_noted_files(folder, manifest["audit"]),
    )
    json_format.ParseDict(settings["digests"], audit.digests)
    thresholds = []
    if manifest["calibration"] is not None:
        audit.calibration.CopyFrom(read_calibration(manifest))
        thresholds = read_thresholds(folder, manifest)
    return v1.Bank(audit=audit, classes=classes, thresholds=thresholds)


def _noted_files(folder: Path, audit: str) -> Iterator[v1.AuditFile]:
    """What the archive says of the files of an audit."""
    for name in AUDIT_FORMATS:
        path = folder / audit_member(name)
        content = path.read_bytes()
        if audit.encode() not in content:
            raise DataSetError(f"{path} is not of audit {audit}; run the audit again")
        yield v1.AuditFile(
            format=name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            thumbnails=content.count(b"<img ") if name == "html" else 0,
        )


def _flags(manifest: Mapping[str, Any], notes: Mapping[str, Sequence[Note]]) -> dict[int, list[v1.BiasFlag]]:
    """The flags of each class, see `Findings.to_entries`, with their notes."""
    flags: dict[int, list[v1.BiasFlag]] = {}
    for entry in manifest["flags"]:
        flag = json_format.ParseDict(entry, v1.BiasFlag())
        flag.notes.extend(v1.Note(text=note.text, name=note.name, date=note.date) for note in notes.get(flag.id, ()))
        flags.setdefault(flag.class_index, []).append(flag)
    return flags


def _trained_on(right: Measurements) -> int:
    known = [~np.isin(np.char.lower(np.char.strip(cells)), _NOT_TRAINED_ON) for cells in right.attributes.values()]
    return int(np.any(known, axis=0).sum())


def _example(entry: Mapping[str, Any]) -> v1.Example:
    return v1.Example(id=entry["file"], distance=entry["distance"])


def _distances(right: Measurements) -> Iterator[v1.ReferenceDistances]:
    for norm, distances in right.distances.items():
        yield v1.ReferenceDistances(norm=norm, distances=np.sort(distances))
