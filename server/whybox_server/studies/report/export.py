"""Every answer of a study as a table, under pseudonyms."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from whybox_server.studies.errors import StudyError
from whybox_server.studies.state import RawVotes

SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),
        pa.field("picture", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("label_index", pa.int32(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("right", pa.string()),
        pa.field("milliseconds", pa.int64()),
        pa.field("fast", pa.bool_()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""The columns.

    kind          "item", "gold" or "practice"; only items count
    annotator     the person's pseudonym
    picture       the picture's name in the study
    source        its path below the folder of the data set; "" for gold and practice
    cell          what was shown, such as "feature/clean/model"; several with spaces between them if they are one item
    label_index   the class that was asked about
    label         the same, as people read it
    answer        "yes", "no", "maybe" or "cannot_judge"
    right         the right answer; empty for items
    milliseconds  from the question to the answer; empty where unknown
    fast          whether that is below the registered minimum; empty where unknown
    at            when it was stored, in UTC
"""

_CSV, _PARQUET = ".csv", ".parquet"


def export_votes(path: Path, raw: RawVotes) -> int:
    """Writes a row for each answer, and returns their number.

    A file that is there is replaced once the new one is whole.

    Args:
        path: Ends in .csv or .parquet.
        raw: The answers.

    Raises:
        StudyError: The name ends in something else.
    """
    suffix = path.suffix.lower()
    if suffix not in (_CSV, _PARQUET):
        raise StudyError(f"{path} must end in {_CSV} or {_PARQUET}")
    rows = list(_rows(raw))
    part = path.with_name(f"{path.name}.part")
    if suffix == _PARQUET:
        metadata = {"study": raw.study.id, "digest": raw.study.digest}
        parquet.write_table(pa.Table.from_pylist(rows, SCHEMA.with_metadata(metadata)), part)
    else:
        with part.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, SCHEMA.names)
            table.writeheader()
            table.writerows(row | {"fast": _truth(row["fast"]), "at": row["at"].isoformat()} for row in rows)
    part.replace(path)
    return len(rows)


def _rows(raw: RawVotes) -> Iterator[dict[str, Any]]:
    protocol = raw.study.protocol
    items = {(picture.id, item.cells): item for picture in protocol.pictures for item in picture.items}
    sources = {picture.id: picture.source for picture in protocol.pictures}
    known = {each.id: each for each in (*protocol.practice, *protocol.gold)}
    for kind, votes in (("item", raw.items), ("gold", raw.gold), ("practice", raw.practice)):
        for vote in votes:
            one = known.get(vote.picture_id) if kind != "item" else None
            item = one.item if one is not None else items[vote.picture_id, vote.cells]
            yield {
                "kind": kind,
                "annotator": vote.annotator_id,
                "picture": vote.picture_id,
                "source": "" if one is not None else sources[vote.picture_id],
                "cell": " ".join(vote.cells),
                "label_index": item.label.index,
                "label": item.label.text,
                "answer": vote.answer.value,
                "right": None if one is None else one.right.value,
                "milliseconds": vote.milliseconds,
                "fast": None if vote.milliseconds is None else vote.milliseconds < protocol.policy.fastest_ms,
                "at": vote.at,
            }


def _truth(value: bool | None) -> str:
    return "" if value is None else str(value).lower()
