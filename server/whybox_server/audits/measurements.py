"""From the table of an audit to the arrays that its reports are made of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from whybox_server.audits.criticism.pictures import Floats, Integers, Measurements, Texts
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.journal import INTRINSIC
from whybox_server.audits.passes.pictures import PREFIX

# The least size of a change, for a picture that lies exactly on the boundary: only a wrong answer is at distance 0.
_LEAST = float(np.nextafter(0.0, 1.0))
_DISTANCE = ".distance"
_HALVES = ("low", "high")


def read_measurements(
    path: Path, attributes: Sequence[str] = (), confounders: Sequence[str] = (), split: str | None = None
) -> Measurements:
    """The pictures of an audit that count: a few numbers and texts for each, without embeddings.

    Args:
        path: The file that `write_pictures` wrote.
        attributes: Names of columns of the caller's table, or of `INTRINSIC`, whose values are made of `halves`.
        confounders: Likewise.
        split: Name of the column with the parts; None for none.

    Raises:
        DataSetError: The file is no table of an audit, or lacks a column.
    """
    try:
        with path.open("rb") as content, parquet.ParquetFile(content) as file:
            names = file.schema_arrow.names
            norms = [name.removesuffix(_DISTANCE) for name in names if name.endswith(_DISTANCE)]
            norms = [norm for norm in norms if not norm.startswith(PREFIX)]
            wanted = {
                name: _stored(path, name, names) for name in (*attributes, *confounders, *([split] if split else []))
            }
            fixed = ["file", "label", "predicted", "right", "confidence", "group", "counted"]
            fields = [f"{norm}.{field}" for norm in norms for field in ("distance", "searched_radius", "reasons")]
            table = file.read(columns=list(dict.fromkeys([*fixed, *fields, *wanted.values()])))
    except (OSError, pa.ArrowException) as error:
        raise DataSetError(f"{path} is no table of an audit ({error}); give the folder that an audit wrote") from error
    table = table.filter(table["counted"])
    labels = _numbers(table, "label").astype(np.int64)

    def texts(name: str) -> Texts:
        stored = wanted[name]
        if stored.startswith(PREFIX):
            return np.array(table[stored].to_pylist(), dtype=np.str_)
        return halves(_numbers(table, stored), labels)

    right = table["right"].to_numpy()
    return Measurements(
        files=tuple(table["file"].to_pylist()),
        labels=labels,
        predicted=_numbers(table, "predicted").astype(np.int64),
        confidence=_numbers(table, "confidence"),
        distances={norm: _distances(table, norm, right) for norm in norms},
        searched_radius={norm: _numbers(table, f"{norm}.searched_radius") for norm in norms},
        reasons={norm: _doubted(table, norm) for norm in norms},
        attributes={name: texts(name) for name in attributes},
        confounders={name: texts(name) for name in confounders},
        split=None if split is None else texts(split),
        groups=_numbers(table, "group").astype(np.int64),
    )


def halves(values: Floats, labels: Integers) -> Texts:
    """[N], "low" for the values up to the median of their class, "high" for those above it, and "" for NaN.

    Args:
        values: [N].
        labels: [N], the class of each.
    """
    found = np.full(len(values), "", dtype=f"<U{max(map(len, _HALVES))}")
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & ~np.isnan(values))
        if len(rows):
            found[rows] = np.array(_HALVES)[(values[rows] > np.median(values[rows])).astype(int)]
    return found


def _stored(path: Path, name: str, names: Sequence[str]) -> str:
    """The column of the file that holds a column of the caller's table or a covariate."""
    if PREFIX + name in names:
        return PREFIX + name
    if name in INTRINSIC:
        return name
    there = [each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX)]
    raise DataSetError(f"{path} has no column {name!r}; its table had {', '.join(there) or 'none'}")


def _numbers(table: pa.Table, name: str) -> Floats:
    """[N], NaN for null."""
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _distances(table: pa.Table, norm: str, right: np.typing.NDArray[np.bool_]) -> Floats:
    distances = _numbers(table, norm + _DISTANCE)
    found = np.where(np.isnan(distances), np.inf, np.maximum(distances, _LEAST))
    return np.where(right, found, 0.0)


def _doubted(table: pa.Table, norm: str) -> np.typing.NDArray[np.bool_]:
    lengths = compute.fill_null(compute.list_value_length(table[f"{norm}.reasons"]), 0)
    return np.asarray(lengths.to_numpy() > 0)
