"""The table of an audit: a row for each measured picture, in Parquet."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from whybox_server.audits.data.dataset import Listed, Row
from whybox_server.audits.passes.duplicates import Copies
from whybox_server.audits.passes.journal import INTRINSIC, Journal, Record

PICTURES = "audit.parquet"
"""Name of the table in the folder of the results."""

PREFIX = "table."
"""Before the name of each column that comes from the caller's table."""

# Rows of a group. The embeddings of a group are in memory together, up to 40 MB. What a reader knows of each group is
# in memory all the time, 35 kB: with groups of 1000 rows a million pictures take a fifth more memory.
_GROUP_ROWS = 5000
# Rows that are Python objects at a time.
_AT_ONCE = 1000
# The fields of an outcome that are written for each norm, as NORM.FIELD.
_OUTCOME = {
    "state": pa.string(),
    "distance": pa.float64(),
    "unflipped_distance": pa.float64(),
    "searched_radius": pa.float64(),
    "distance_8bit": pa.float64(),
    "adversarial_class": pa.int32(),
    "gradient_evaluations": pa.int32(),
    "forward_evaluations": pa.int32(),
    "stopped_by": pa.string(),
    "reasons": pa.list_(pa.string()),
}


class Audited(NamedTuple):
    """A measured picture.

    Attributes:
        row: What the data set says.
        record: What was measured.
        group: Near-duplicates of a class have the same number, from 0.
        counted: Whether the picture counts; False for a copy of another file.
    """

    row: Row
    record: Record
    group: int
    counted: bool


def audited(data: Listed, journal: Journal, copies: Copies) -> Iterator[Audited]:
    """The measured pictures, sorted by class and then by file, one at a time."""
    for row in data.rows():
        record = journal[row.file]
        if record.measured:
            yield Audited(row, record, copies.group(row.file), copies.counted(row.file))


def write_pictures(
    path: Path, data: Listed, journal: Journal, copies: Copies, labels: Sequence[str], norms: Sequence[str]
) -> None:
    """Writes a row for each measured picture, sorted by class and file; the same measurements give the same bytes.

    `label` and `predicted` are indices of classes, with their names beside them. `group` is the same for
    near-duplicates of a class; `counted` is false for a file that is the same as an earlier one. `embedding` holds the
    features before the network's last layer. `margin` is the logit of the correct class minus the largest other
    one. Fields of the attack begin with their norm, and are null where the prediction is wrong. The columns of the
    caller's table are there as text, with `PREFIX`.

    Args:
        path: The file to write; a file that is there is replaced once the new one is whole.
        data: The pictures.
        journal: Their records.
        copies: Their groups.
        labels: Labels of the classes, in the order of the indices.
        norms: The norms of the attack.
    """
    columns = [PREFIX + column.name for column in data.columns]
    schema = pa.schema(
        [
            ("file", pa.string()),
            ("sha256", pa.string()),
            ("label", pa.int32()),
            ("label_name", pa.string()),
            ("predicted", pa.int32()),
            ("predicted_name", pa.string()),
            ("right", pa.bool_()),
            ("confidence", pa.float64()),
            ("margin", pa.float64()),
            ("group", pa.int64()),
            ("counted", pa.bool_()),
            *((name, pa.float64()) for name in INTRINSIC),
            ("perceptual_hash", pa.string()),
            ("embedding", pa.list_(pa.float32())),
            *((f"{norm}.{name}", kind) for norm in norms for name, kind in _OUTCOME.items()),
            *((name, pa.string()) for name in columns),
        ]
    )
    rows = (_row(picture, labels, norms, columns) for picture in audited(data, journal, copies))
    part = path.with_name(f"{path.name}.part")
    with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
        for group in _groups(rows, schema):
            writer.write_table(group)
    part.replace(path)


def read_column(path: Path, name: str) -> list[Any]:
    """The values of one column of the table, in the order of the rows."""
    with path.open("rb") as content:
        values: list[Any] = parquet.read_table(content, columns=[name])[name].to_pylist()
        return values


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _groups(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    parts = _parts(rows, schema)
    while group := list(islice(parts, _GROUP_ROWS // _AT_ONCE)):
        yield pa.concat_tables(group)


def _parts(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    while part := list(islice(rows, _AT_ONCE)):
        yield pa.Table.from_pylist(part, schema=schema)


def _row(picture: Audited, labels: Sequence[str], norms: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    row, record = picture.row, picture.record
    predicted = record.predicted
    told: dict[str, Any] = {
        "file": row.file,
        "sha256": record.sha256 or None,
        "label": row.label,
        "label_name": labels[row.label],
        "predicted": predicted,
        "predicted_name": None if predicted is None else labels[predicted],
        "right": record.right,
        "confidence": record.confidence,
        "margin": record.margin,
        "group": picture.group,
        "counted": picture.counted,
        "perceptual_hash": record.perceptual_hash or None,
        "embedding": np.frombuffer(record.embedding, dtype="<f4") if record.embedding else None,
    }
    told |= {name: record.covariates.get(name) for name in INTRINSIC}
    told |= dict(zip(columns, row.cells, strict=True))
    for norm in norms:
        if (outcome := record.norms.get(norm)) is not None:
            told |= {f"{norm}.{name}": getattr(outcome, name) for name in _OUTCOME}
    return told
