"""Every answer as a row, the same in both formats."""

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from server.studies.answers import AT, raw, vote
from studying import CLEAN, picture, protocol
from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Answer
from whybox_server.studies.report.export import SCHEMA, export_votes

NONE, FEATURE = (cell.name for cell in CLEAN)
STUDY = protocol([picture("p0", merged=[(NONE, FEATURE)])], practice=1, gold=1, fastest_ms=300)
RAW = raw(
    STUDY,
    vote("anna", "p0", NONE, FEATURE, milliseconds=299),
    vote("ben", "p0", NONE, FEATURE, answer=Answer.CANNOT_JUDGE),
    gold=[vote("anna", "gold0", "gold", answer=Answer.NO, milliseconds=300)],
    practice=[vote("anna", "practice0", "practice")],
)
COMMON = {"label_index": 0, "label": "spaniel", "at": AT}
ROWS = [
    {"kind": "item", "annotator": "anna", "picture": "p0", "source": "p0.jpg", "cell": f"{NONE} {FEATURE}",
     "answer": "yes", "right": None, "milliseconds": 299, "fast": True, **COMMON},
    {"kind": "item", "annotator": "ben", "picture": "p0", "source": "p0.jpg", "cell": f"{NONE} {FEATURE}",
     "answer": "cannot_judge", "right": None, "milliseconds": None, "fast": None, **COMMON},
    {"kind": "gold", "annotator": "anna", "picture": "gold0", "source": "", "cell": "gold",
     "answer": "no", "right": "yes", "milliseconds": 300, "fast": False, **COMMON},
    {"kind": "practice", "annotator": "anna", "picture": "practice0", "source": "", "cell": "practice",
     "answer": "yes", "right": "yes", "milliseconds": None, "fast": None, **COMMON},
]  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "votes.parquet"
    assert export_votes(path, RAW) == len(ROWS)
    table = parquet.read_table(path)
    assert table.to_pylist() == [{name: row[name] for name in SCHEMA.names} for row in ROWS]
    assert table.schema.metadata[b"digest"].decode() == STUDY.digest


def written(value: Any) -> str:
    """A cell of a CSV file."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return "2026-01-02T03:04:05.678901+00:00"
        case _:
            return str(value)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    assert export_votes(path, RAW) == len(ROWS)
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [{name: written(row[name]) for name in SCHEMA.names} for row in ROWS]


def test_another_format(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"votes\.xlsx must end in \.csv or \.parquet"):
        export_votes(tmp_path / "votes.xlsx", RAW)
    assert not list(tmp_path.iterdir())
