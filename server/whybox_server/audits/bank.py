"""From the results of an audit to the bank and the files that are packed with its model."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from whybox import v1
from whybox.v1.vocabulary import AUDIT_FORMATS
from whybox_server.archives import audit_member
from whybox_server.audits.criticism.pictures import Measurements
from whybox_server.audits.data.columns import TRAINED_ON
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.measurements import read_measurements
from whybox_server.audits.passes.pictures import PICTURES, digest_of
from whybox_server.audits.report.manifest import MANIFEST

EXAMPLES = 20
"""At most this number of prototypes, and of criticisms, of each class goes into a bank."""

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
        manifest = json.loads((folder / MANIFEST).read_text())
        return _bank(folder, manifest)
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
    measurements = read_measurements(table, columns)
    trained_on = np.zeros(len(measurements), dtype=np.bool_)
    for values in measurements.attributes.values():
        trained_on |= ~np.isin(np.char.lower(np.char.strip(values)), _NOT_TRAINED_ON)
    audited = [criticised["class_index"] for criticised in manifest["classes"]]
    rows = measurements.class_rows()
    if audited != list(rows):
        raise DataSetError(f"{folder / MANIFEST} and {table} have different classes; run the audit again")
    flags = _flags(manifest)
    classes = []
    for criticised in manifest["classes"]:
        index = criticised["class_index"]
        right = rows[index][measurements.right[rows[index]]]
        findings = v1.Bias(
            flags=flags.get(index, []),
            prototypes=map(_example, criticised["prototypes"][:EXAMPLES]),
            criticisms=map(_example, criticised["criticisms"][:EXAMPLES]),
            audit_id=manifest["audit"],
        )
        if findings.prototypes:
            findings.norm = options["primary_norm"]
        classes.append(
            v1.AuditedClass(
                class_index=index,
                findings=findings,
                distances=_distances(measurements.only(right)),
                trained_on=int(trained_on[right].sum()),
            )
        )
    audit = v1.Audit(
        id=manifest["audit"],
        data_set=Path(manifest["data"]["folder"]).name or manifest["data"]["folder"],
        pictures=len(measurements),
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
    return v1.Bank(audit=audit, classes=classes)


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


def _flags(manifest: Mapping[str, Any]) -> dict[int, list[v1.BiasFlag]]:
    """The flags of each class; see `Findings.to_entries`."""
    flags: dict[int, list[v1.BiasFlag]] = {}
    for entry in manifest["flags"]:
        flag = json_format.ParseDict(entry, v1.BiasFlag())
        flags.setdefault(flag.class_index, []).append(flag)
    return flags


def _example(entry: Mapping[str, Any]) -> v1.Example:
    return v1.Example(id=entry["file"], distance=entry["distance"])


def _distances(right: Measurements) -> Iterator[v1.ReferenceDistances]:
    for norm, distances in right.distances.items():
        yield v1.ReferenceDistances(norm=norm, distances=np.sort(distances))
