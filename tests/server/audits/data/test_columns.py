"""What becomes of the columns and the rows of a table."""

from pathlib import Path

import pytest

from whybox_server.audits.data.boxes import Box, parse_boxes
from whybox_server.audits.data.columns import Column
from whybox_server.audits.data.dataset import Choice, DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.reading import read_data_set

LABELS = ["cat", "dog"]
# 24 pictures, the even ones of cats.
NUMBER = 24
CELLS = {
    "snow": lambda n: "1" if n % 3 else "0",
    "sea": lambda n: ("1", "0", "", "Unknown")[n // 2 % 4],
    "blank": lambda _: "",
    "constant": lambda _: "yes",
    "unique": lambda n: f"id {n}",
    "class_name": lambda n: ("cat", "dog")[n % 2],
    "photographer": lambda n: f"p{n // 2}",
    "style": lambda n: f"s{n // 2 % 11}" if n % 2 else "s0",
    "split": lambda n: ("find", "confirm")[n % 2],
    "trained_on": lambda _: "0",
    "snow_box": lambda n: "0 0 4 4; 1,2,3,4" if n % 3 else "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    lines = [",".join(["file", "label", *CELLS])]
    for n in range(NUMBER):
        (tmp_path / "d" / f"{n:02}.jpg").touch()
        cells = [f'"{make(n)}"' for make in CELLS.values()]
        lines.append(",".join([f"{n:02}.jpg", LABELS[n % 2], *cells]))
    (tmp_path / "t.csv").write_text("\n".join(lines))
    return tmp_path


def read(folder: Path, **choice: object) -> DataSet:
    return read_data_set(folder / "d", LABELS, folder / "t.csv", Choice(**choice))  # type: ignore[arg-type]


def by_name(data: DataSet) -> dict[str, Column]:
    return {column.name: column for column in data.columns}


def test_a_column_is_tested_or_has_a_reason(folder: Path) -> None:
    columns = by_name(read(folder))
    assert {name: (column.role, column.reason) for name, column in columns.items()} == {
        "file": ("file", "it names the picture"),
        "label": ("label", "it names the right class"),
        "snow": ("attribute", ""),
        "sea": ("attribute", ""),
        "blank": ("other", "no picture has a known value"),
        "constant": ("other", "constant: one group, and a test compares two"),
        "unique": ("other", "unique: each picture has another value"),
        "class_name": ("other", "constant within each class: a test compares two groups of the same class"),
        "photographer": ("other", "more than 10 values within each class; name it with --attribute to test it"),
        "style": ("other", "more than 10 values within each class; name it with --attribute to test it"),
        "split": ("split", "it names the part that the picture belongs to"),
        "trained_on": ("trained_on", "it says whether the model was trained on the picture"),
        "snow_box": ("box", "it says where an attribute is visible"),
    }
    assert columns["snow"].values == {"1": 16, "0": 8}
    # Not to know is a value of its own, and no known one.
    assert (columns["sea"].distinct, columns["sea"].values) == (2, {"": 6, "0": 6, "1": 6, "Unknown": 6})


def test_named_columns(folder: Path) -> None:
    columns = by_name(read(folder, attributes=("style", "constant"), confounders=("split", "photographer")))
    told = {name: (column.role, column.reason) for name, column in columns.items()}
    assert told["style"] == ("attribute", "")
    assert told["constant"] == ("attribute", "constant: one group, and a test compares two")
    # Naming an attribute takes no other from the family of tests.
    assert told["snow"] == ("attribute", "")
    assert told["split"] == told["photographer"] == ("confounder", "tests adjust for it")


def test_what_is_no_column_may_be_intrinsic(folder: Path) -> None:
    data = read(folder, attributes=("brightness", "snow"), confounders=("width",), intrinsic=("brightness", "width"))
    assert (data.intrinsic_attributes, data.intrinsic_confounders) == (("brightness",), ("width",))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (["snow=0"], lambda n: n % 3 == 0),
        (["snow != 0"], lambda n: n % 3 != 0),
        (["snow=1", "sea!=", "sea!=Unknown"], lambda n: n % 3 and n // 2 % 4 < 2),
        (["sea="], lambda n: n // 2 % 4 == 2),
    ],
)
def test_conditions(folder: Path, where: list[str], kept: type[bool]) -> None:
    data = read(folder, where=tuple(where))
    files = [f"{n:02}.jpg" for n in range(NUMBER) if kept(n)]
    assert [picture.file for picture in data.pictures()] == files
    assert data.left_out == NUMBER - len(files)
    if where == ["snow=0"]:
        assert by_name(data)["snow"].reason == "constant: one group, and a test compares two"


def test_what_is_left_out_may_be_missing(folder: Path) -> None:
    (folder / "d" / "01.jpg").unlink()
    with pytest.raises(DataSetError, match=r"t\.csv, line 3: .*/01\.jpg does not exist"):
        read(folder)
    assert len(read(folder, where=("unique!=id 1",))) == NUMBER - 1


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (
            {"attributes": ("snwo",)},
            "--attribute 'snwo' is no column: the table has file, .*did you mean 'snow'",
        ),
        ({"confounders": ("tide",)}, "--confounder 'tide' is no column"),
        ({"where": ("tide=1",)}, "--where 'tide' is no column: the table has file, label"),
        ({"where": ("snow=2",)}, "--where snow=2: no picture has '2' in column 'snow'; it holds '1', '0'"),
        ({"where": ("snow!=2",)}, "--where snow!=2: no picture has '2' in column 'snow'; it holds '1', '0'"),
        ({"where": ("snow",)}, "--where 'snow' is no condition; write COLUMN=VALUE or COLUMN!=VALUE"),
        ({"where": ("snow=1", "snow=0")}, "no picture meets --where snow=1 --where snow=0 at once"),
        ({"attributes": ("snow",), "confounders": ("snow",)}, "'snow' is given as --attribute and as --confounder"),
    ],
)
def test_what_is_no_choice(folder: Path, choice: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(DataSetError, match=words):
        read(folder, **choice)


def test_attributes_need_a_table(folder: Path) -> None:
    (folder / "d" / "cat").mkdir()
    (folder / "d" / "cat" / "a.jpg").touch()
    with pytest.raises(DataSetError, match="--attribute 'snow' is no column: give a table with --labels"):
        read_data_set(folder / "d", LABELS, None, Choice(attributes=("snow",)))


def test_boxes() -> None:
    assert parse_boxes("") == ()
    assert parse_boxes("0 0 4 4; 1.5,2,3,4;") == (Box(0, 0, 4, 4), Box(1.5, 2, 3, 4))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1 2 3", "'1 2 3' is no box; write left top right bottom in pixels"),
        ("a b c d", "'a b c d' is no box"),
        ("0 0 nan 4", "'0 0 nan 4' is no box"),
        ("4 0 4 4", "'4 0 4 4' is an empty box"),
        ("-1 0 4 4", "'-1 0 4 4' begins outside of the picture; its edges are pixels from 0"),
    ],
)
def test_what_is_no_box(folder: Path, cell: str, words: str) -> None:
    table = folder / "t.csv"
    table.write_text(table.read_text().replace("0 0 4 4; 1,2,3,4", cell, 1))
    with pytest.raises(DataSetError, match=rf"t\.csv, line 3, column 'snow_box': {words}"):
        read(folder)
