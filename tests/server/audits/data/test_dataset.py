"""Which pictures and labels are found, and the messages for missing ones."""

from itertools import pairwise
from pathlib import Path

import pytest

from whybox_server.audits.data.dataset import Choice, DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.reading import read_data_set

LABELS = ["tench", "golden retriever", "crane", "crane", "Eskimo dog"]


def lay_out(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def found(data: DataSet) -> dict[str, int]:
    return {picture.file: picture.label for picture in data.pictures()}


def test_folders_are_classes(tmp_path: Path) -> None:
    names = ["3/b.png", "0/a.JPG", "golden_retriever/c.webp", "eskimo dog/deep/d.gif", "002/e.jpeg"]
    others = ["0/notes.txt", "0/.hidden.jpg", ".cache/f.jpg", "loose.jpg"]
    lay_out(tmp_path, dict.fromkeys(names + others, ""))
    data = read_data_set(tmp_path, LABELS)
    assert found(data) == {
        "0/a.JPG": 0,
        "002/e.jpeg": 2,
        "3/b.png": 3,
        "eskimo dog/deep/d.gif": 4,
        "golden_retriever/c.webp": 1,
    }
    assert [picture.file for picture in data.pictures()] == sorted(names)
    assert (data.unlabelled, data.not_of_the_model) == (1, 0)


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("file,label\na.jpg,Tench\nb/c.png,4\n", None, {"a.jpg": 0, "b/c.png": 4}),
        ("\ufefffile,label\na.jpg,0\nb/c.png,golden_retriever\n", None, {"a.jpg": 0, "b/c.png": 1}),
        ("file,wnid,imagenet1k_index\na.jpg,n1,2\nb/c.png,n2,-1\n", None, {"a.jpg": 2}),
        ('file,mine,label\n"a.jpg",1,0\nb/c.png,,0\n', "mine", {"a.jpg": 1}),
        ("label,file\n0,a.jpg\n", None, {"a.jpg": 0}),
    ],
)
def test_tables_of_labels(tmp_path: Path, table: str, column: str | None, expected: dict[str, int]) -> None:
    lay_out(tmp_path, {"d/a.jpg": "", "d/b/c.png": "", "t.csv": table})
    data = read_data_set(tmp_path / "d", LABELS, tmp_path / "t.csv", Choice(label_column=column))
    assert found(data) == expected
    assert len(expected) + data.not_of_the_model + data.unlabelled == 2


@pytest.mark.parametrize(
    ("files", "table", "column", "words"),
    [
        ({}, None, None, "no labelled picture in {d}; pictures end in .jpg"),
        ({"d/0/a.txt": ""}, None, None, "no labelled picture in {d}"),
        ({"d/a.jpg": ""}, None, None, "1 pictures in {d} have no label: move them to one sub-folder per class"),
        ({"d/cat/a.jpg": ""}, None, None, "folder {d}/cat: 'cat' is neither the index nor the label of a class"),
        (
            {"d/tensh/a.jpg": ""},
            None,
            None,
            "(did you mean 'tench'?); rename the folder, or give a table with --labels",
        ),
        ({"d/5/a.jpg": ""}, None, None, "folder {d}/5: class 5 is not one of 0 to 4"),
        ({"d/crane/a.jpg": ""}, None, None, "'crane' is the label of classes [2, 3]; give the index"),
        ({"d/0/a.jpg": ""}, None, "label", "--label-column names a column of a table; give the table with --labels"),
        ({}, "file,label\n", None, "t.csv names no picture with a class; add a row"),
        ({"d/a.jpg": ""}, "file,label\na.jpg,-1\n", None, "1 rows are marked as no class of the model"),
        ({"d/a.jpg": ""}, "file,label\nb.jpg,0\n", None, "{t}, line 2: {d}/b.jpg does not exist"),
        ({"d/a.jpg": ""}, "file,label\na.jpg,0\na.jpg,1\n", None, "{t}, line 3: a.jpg has two rows"),
        ({"d/a.jpg": ""}, "file,label\na.jpg,cat\n", None, "{t}, line 2: 'cat' is neither the index nor the label"),
        ({"d/a.jpg": ""}, "file,class\na.jpg,0\n", None, "no column 'label' or 'imagenet1k_index'; it has file, class"),
        (
            {"d/a.jpg": ""},
            "file,label\na.jpg,0\n",
            "x",
            "{t} has no column 'x'; it has file, label; name one with --label",
        ),
        (
            {"d/a.jpg": ""},
            "path,label\na.jpg,0\n",
            None,
            "{t} has no column 'file'; it has path, label; name the columns",
        ),
        ({"d/a.jpg": ""}, "", None, "{t} has no column 'file'; it has none"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, files: dict[str, str], table: str | None, column: str | None, words: str
) -> None:
    (tmp_path / "d").mkdir()
    lay_out(tmp_path, files if table is None else files | {"t.csv": table})
    with pytest.raises(DataSetError) as raised:
        read_data_set(
            tmp_path / "d", LABELS, None if table is None else tmp_path / "t.csv", Choice(label_column=column)
        )
    assert words.format(d=tmp_path / "d", t=tmp_path / "t.csv") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_folders_and_tables_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="no is not a folder"):
        read_data_set(tmp_path / "no", LABELS)
    with pytest.raises(DataSetError, match=r"no\.csv cannot be read \(No such file or directory\); check the path"):
        read_data_set(tmp_path, LABELS, tmp_path / "no.csv")
    (tmp_path / "t.csv").write_bytes(b"file,label\n\xff.jpg,0\n")
    with pytest.raises(DataSetError, match="is not a CSV file in UTF-8"):
        read_data_set(tmp_path, LABELS, tmp_path / "t.csv")


def test_samples_are_nested(tmp_path: Path) -> None:
    lay_out(tmp_path, {f"{number % 5}/{number:02}.jpg": "" for number in range(30)})

    def sample(limit: int | None, seed: int = 0) -> dict[str, int]:
        return found(read_data_set(tmp_path, LABELS, choice=Choice(limit=limit, seed=seed)))

    samples = [sample(limit) for limit in (3, 10, 30, 99, None)]
    assert [len(sample) for sample in samples] == [3, 10, 30, 30, 30]
    for smaller, larger in pairwise(samples):
        assert smaller.items() <= larger.items()
    assert sample(3, seed=1) != samples[0]
