"""Cells as text, whatever the file; and what is wrong with a file."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.tables import Table


def test_parquet_and_csv_give_the_same_cells(tmp_path: Path) -> None:
    columns = {
        "file": ["a.jpg", "b, c.jpg"],
        "label": [1, None],
        "snow": [True, False],
        "share": [0.25, None],
        "whole": pa.array([3.0, float("nan")]),
        "name": pa.array(["ü ", None]).dictionary_encode(),
        "box": [[1, 2, 3.5, 4], []],
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(
        'file,label,snow,share,whole,name,box\na.jpg,1, true,0.25,3,ü,1 2 3.5 4\n\n"b, c.jpg",,false\n', "utf-8"
    )
    tables = [Table(tmp_path / name) for name in ("t.parquet", "t.csv")]
    assert [table.columns for table in tables] == [tuple(columns)] * 2
    rows = [[line.cells for line in table.rows()] for table in tables]
    assert rows[0] == rows[1]
    assert rows[0] == [("a.jpg", "1", "true", "0.25", "3", "ü", "1 2 3.5 4"), ("b, c.jpg", "", "false", *[""] * 4)]
    assert [[table.where(line.number) for line in table.rows()] for table in tables] == [
        [f"{tmp_path}/t.parquet, row 1", f"{tmp_path}/t.parquet, row 2"],
        [f"{tmp_path}/t.csv, line 2", f"{tmp_path}/t.csv, line 4"],
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"file,label,label\n", "has two columns 'label'; rename one of them"),
        ("t.csv", b"file,label\na.jpg,1,2\n", "t.csv, line 2 has 3 cells, and the table has 2 columns"),
        ("t.csv", b"file,label\n\xff.jpg,0\n", "t.csv is not a CSV file in UTF-8; save it as one"),
        ("t.parquet", b"file,label\n", "t.parquet is not a Parquet file; save it as one"),
        ("t.parquet", None, r"t.parquet cannot be read \(No such file or directory\); check the path"),
        ("t.csv", None, r"t.csv cannot be read \(No such file or directory\); check the path"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataSetError, match=words):
        list(Table(tmp_path / name).rows())
