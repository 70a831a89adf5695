"""What an audit refuses before it measures anything: options that do not fit the table, the model or each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import CriticismError
from whybox_server.audits.data.dataset import DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.journal import INTRINSIC
from whybox_server.audits.report.manifest import read_manifest
from whybox_server.validation.checks import did_you_mean

_OF_THE_MODEL = ("weights_sha256", "preprocessing_sha256", "labels_sha256")


def check_options(
    options: CriticismOptions, confirm: Path | None, data: DataSet, labels: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """Checks what is asked of the statistics.

    Args:
        options: Their options.
        confirm: Folder of an audit that confirms; None for none.
        data: The pictures with their columns.
        labels: Labels of the classes.
        settings: What the measurements depend on; `norms` and `digests` are missing without a model.

    Raises:
        CriticismError: An option does not fit.
        DataSetError: `confirm` holds no audit, or one that cannot confirm.
    """
    if options.primary_norm not in settings.get("norms", [options.primary_norm]):
        raise CriticismError(f"--primary-norm {options.primary_norm} is not measured; add it with --norm")
    check_attributes(options.attributes or (), untested(data))
    for both in options.crosses:
        for name in both:
            if why := _objection(name, data):
                raise CriticismError(f"--cross {','.join(both)}: {name!r} cannot be crossed: {why}")
    _check_parts(options.discovery, confirm, data)
    if confirm is not None:
        _check_audit(confirm, labels, settings)


def check_others(confirm: Path, own: PictureTable, confirming: PictureTable) -> None:
    """Checks that an audit confirms with other pictures, class by class.

    Raises:
        CriticismError: A picture is in both audits.
    """
    shared = sum(len(confirming.contents(index) & own.contents(index)) for index in own.classes)
    if shared:
        raise CriticismError(
            f"--confirm {confirm}: {shared} of its pictures are audited here too; a confirmation needs other pictures"
        )


def untested(data: DataSet) -> dict[str, str]:
    """The reasons against the columns that could have been attributes and cannot be tested, by name."""
    return {column.name: column.reason for column in data.columns if column.role == "attribute" and column.reason}


def check_attributes(names: Sequence[str], reasons: Mapping[str, str]) -> None:
    """Raises CriticismError if there are reasons against all attributes that were named."""
    if names and reasons.keys() >= set(names):
        why = "; ".join(f"{name}: {reasons[name]}" for name in names)
        raise CriticismError(f"no --attribute can be tested ({why})")


def _objection(name: str, data: DataSet) -> str:
    """Why a name is no attribute that can be crossed; "" if it is one."""
    if name in data.intrinsic_attributes:
        return ""
    column = next((column for column in data.columns if column.name == name), None)
    if column is not None:
        return column.reason
    if name in INTRINSIC:
        return f"add --attribute {name}"
    names = [column.name for column in data.columns if column.role == "attribute" and not column.reason]
    return did_you_mean(name, names) or f"it is no column; the attributes are {', '.join(names) or 'none'}"


def _check_parts(discovery: str | None, confirm: Path | None, data: DataSet) -> None:
    if data.place("split") is None:
        if discovery is not None:
            raise CriticismError(f"--discovery {discovery!r} names a part of a column split; the table has none")
        return
    if confirm is not None:
        raise CriticismError(
            "a column split and --confirm would both confirm; leave --confirm out or rename the column"
        )
    parts = data.parts()
    if len(parts) != 2:
        remedy = "keep the rows of two parts with --where, or rename the column"
        raise CriticismError(
            f"column split must name two parts, but names {len(parts)}: {', '.join(parts[:5]) or 'none'}; {remedy}"
        )
    if discovery is not None and discovery not in parts:
        raise CriticismError(f"--discovery {discovery!r} is no part of column split; it names {' and '.join(parts)}")


def _check_audit(folder: Path, labels: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Checks that an audit is one of the same model, or of predictions of the same classes."""
    manifest = read_manifest(folder)
    theirs, ours = manifest["settings"].get("digests"), settings.get("digests")
    if (theirs is None) != (ours is None):
        audited = "a table of predictions" if theirs is None else "a model"
        raise DataSetError(
            f"--confirm {folder}: it audited {audited}, and this audit does not; give one of the same kind"
        )
    if theirs is not None and ours is not None:
        differing = [name for name in _OF_THE_MODEL if theirs.get(name) != ours.get(name)]
        if differing:
            others = ", ".join(name.removesuffix("_sha256") for name in differing)
            raise DataSetError(f"--confirm {folder}: it audited a model with other {others}; audit this model")
    for criticised in manifest["classes"]:
        index, label = criticised["class_index"], criticised["class_label"]
        if index >= len(labels) or labels[index] != label:
            here = repr(labels[index]) if index < len(labels) else "none"
            remedy = "both tables must name the same classes"
            raise DataSetError(f"--confirm {folder}: its class {index} is {label!r}, and here it is {here}; {remedy}")
