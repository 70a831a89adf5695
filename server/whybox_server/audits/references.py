"""From the pictures of an audit to the files that the method `example` looks among."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from whybox import v1
from whybox_handlers.models.digests import sha256_of
from whybox_handlers.references import CRITICISM, FILES, ORDINARY, PROTOTYPE, ReferenceWriter
from whybox_server.audits.criticism.methods.tails import TailName, tail_rows
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.pictures import PICTURES
from whybox_server.audits.report.manifest import MANIFEST
from whybox_server.audits.report.page.thumbnails import UnreadableError, as_jpeg, small_picture

# Pictures whose features are in memory together.
_AT_ONCE = 1000
_COLUMNS = (
    *("file", "sha256", "label", "label_name", "predicted", "predicted_name", "right", "confidence", "counted"),
    "embedding",
)
_KINDS: dict[TailName, int] = {"prototypes": PROTOTYPE, "criticisms": CRITICISM}


def write_references(audit: Path, folder: Path, *, thumbnails: bool) -> v1.References | None:
    """Writes the features of an audit's pictures with what is known of each; copies of a picture are left out.

    Args:
        audit: What `whybox-server audit` wrote, as `read_bank` has read it.
        folder: Where to write.
        thumbnails: Whether to add small copies of the pictures, which still have to be where they were audited.

    Returns:
        What was written; None if the audited network has no features.

    Raises:
        DataSetError: No thumbnail could be made.
    """
    manifest = json.loads((audit / MANIFEST).read_text())
    norm = manifest["statistics"]["options"]["primary_norm"]
    data = Path(manifest["data"]["folder"])
    kinds = _kinds(audit / PICTURES, norm)
    thumbnail = (lambda row: _thumbnail(data / row["file"], row["sha256"])) if thumbnails else _no_thumbnail
    writer, made = None, 0
    for batch in _batches(audit / PICTURES, norm):
        if batch[0]["embedding"] is None:
            return None
        if writer is None:
            writer = ReferenceWriter(folder, len(batch[0]["embedding"]))
        pictures = [_picture(row, norm, thumbnail(row)) for row in batch]
        made += sum(bool(picture.thumbnail) for picture in pictures)
        features = np.array([row["embedding"] for row in batch], dtype=np.float32)
        writer.add(features, pictures, [kinds.get(row["file"], ORDINARY) for row in batch])
    if writer is None:
        return None
    if thumbnails and not made:
        raise DataSetError(
            f"no picture of {audit} can be read in {data} as it was audited, so there are no thumbnails; put the "
            "pictures back, or leave thumbnails out (--no-thumbnails)"
        )
    return v1.References(
        pictures=writer.finish(),
        dimensions=writer.dimensions,
        thumbnails=made,
        largest_record=writer.largest_record,
        largest_thumbnail=writer.largest_thumbnail,
        sha256={name: sha256_of(folder / name) for name in FILES},
    )


def _kinds(table: Path, norm: str) -> dict[str, int]:
    """The prototypes and the criticisms by file."""
    kinds = {}
    for _, part in PictureTable(table).parts():
        right = np.flatnonzero(part.right)
        for name, kind in _KINDS.items():
            for row in right[tail_rows(part.distances[norm][right], name)]:
                kinds[part.files[row]] = kind
    return kinds


def _batches(table: Path, norm: str) -> Iterator[list[dict[str, Any]]]:
    """The pictures that count, some at a time and never none."""
    with table.open("rb") as content, parquet.ParquetFile(content) as file:
        for batch in file.iter_batches(_AT_ONCE, columns=[*_COLUMNS, f"{norm}.distance"]):
            rows = pa.Table.from_batches([batch])
            if counted := rows.filter(rows["counted"]).to_pylist():
                yield counted


def _picture(row: Mapping[str, Any], norm: str, thumbnail: bytes) -> v1.Neighbour:
    predicted = v1.ClassScore(index=row["predicted"], label=row["predicted_name"], probability=row["confidence"])
    return v1.Neighbour(
        id=row["file"],
        sha256=row["sha256"],
        class_index=row["label"],
        class_label=row["label_name"],
        predicted=predicted,
        # As in the findings: only what was predicted rightly was attacked.
        distance=row[f"{norm}.distance"] if row["right"] else None,
        thumbnail=thumbnail,
    )


def _thumbnail(path: Path, digest: str) -> bytes:
    try:
        return as_jpeg(small_picture(path, digest))
    except UnreadableError:
        return b""


def _no_thumbnail(row: Mapping[str, Any]) -> bytes:  # noqa: ARG001 (as the one that makes them)
    return b""
