"""From a folder or a table to the labelled pictures of a data set."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from whybox_server.audits.data.classes import Classes, ClassNameError
from whybox_server.audits.data.conditions import Condition
from whybox_server.audits.data.dataset import FILE_COLUMN, Choice, DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.tables import Line, Table

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
LABEL_COLUMNS = ("label", "imagenet1k_index")
NO_CLASS = ("", "-1")
"""Labels of pictures that show no class of the model."""

_NO_CHOICE = Choice()


def read_data_set(
    folder: Path, labels: Sequence[str], table: Path | None = None, choice: Choice = _NO_CHOICE
) -> DataSet:
    """Finds the labelled pictures of a folder.

    Args:
        folder: A folder with one sub-folder per class, named by the index or the label of the class. With `table` the
            pictures may lie anywhere in it.
        labels: Labels of the model's classes, in the order of the indices.
        table: A table (see `Table`). Its column `file` holds paths below the folder, and another one holds the class as
            index or label (empty or -1 for pictures that show no class of the model). `split`, `trained_on`, `box` and
            `NAME_box` have a meaning of their own; see `columns` and `boxes`.
        choice: Which rows and columns are used.

    Raises:
        DataSetError: The folder, the table, a picture, a label or a column is missing or wrong, or no picture has a
            label.
    """
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder; give the folder with the pictures")
    if choice.label_column is not None and table is None:
        raise DataSetError("--label-column names a column of a table; give the table with --labels")
    classes = Classes(labels)
    if table is None:
        data, label_column = _by_folders(folder, classes, choice), None
    else:
        data, label_column = read_table(Table(table), folder, classes.index, choice)
        data.unlabelled = sum(not data.has(_below(folder, path)) for path in _pictures_below(folder))
    return choose(data, choice, label_column, None if table is None else Table(table))


def choose(data: DataSet, choice: Choice, label_column: str | None, table: Table | None) -> DataSet:
    """The data set with the chosen pictures only, and with its columns.

    Raises:
        DataSetError: A picture or a column is missing or wrong, or no picture has a label.
    """
    data.keep_labelled()
    data.keep([Condition.parse(text) for text in choice.where])
    if not len(data):
        if table is None:
            raise DataSetError(f"no labelled picture in {data.folder}; pictures end in {', '.join(SUFFIXES)}")
        rows = f"; {data.not_of_the_model} rows are marked as no class of the model" if data.not_of_the_model else ""
        raise DataSetError(f"{table.path} names no picture with a class{rows}; add a row for each picture")
    if table is not None:
        if (absent := data.absent()) is not None:
            line, file = absent
            fault = f"{data.folder and data.folder / file} does not exist"
            raise DataSetError(f"{table.where(line)}: {fault}; remove the row, or add the picture")
        data.check_boxes(table)
    if choice.limit is not None:
        data.draw(choice.limit)
    data.assign(choice, label_column)
    return data


def read_table(table: Table, folder: Path | None, index: Callable[[str], int], choice: Choice) -> tuple[DataSet, str]:
    """All rows of a table, and the name of the column with the class.

    Args:
        table: The table.
        folder: The folder of its pictures, if there are any.
        index: The index of a class by its name; raises ClassNameError.
        choice: Names the column with the class, and the seed.

    Raises:
        DataSetError: A column is missing, a label is wrong, or a file has two rows.
    """
    label_column = label_column_of(table, choice.label_column)
    file_place, label_place = table.columns.index(FILE_COLUMN), table.columns.index(label_column)
    data = DataSet(folder, table.columns)
    for line in table.rows():
        file = _file(table, line, line.cells[file_place])
        label = _label(table, line, line.cells[label_place], index)
        if not data.add(file, label, line.number, line.cells, choice.seed):
            raise DataSetError(f"{table.where(line.number)}: {file} has two rows; keep one row per picture")
    return data, label_column


def _file(table: Table, line: Line, written: str) -> str:
    """The path of a picture in one spelling. It leads to nothing but pictures below the folder of the data set."""
    path = PurePosixPath(written)
    if not path.parts:
        raise DataSetError(f"{table.where(line.number)}: column {FILE_COLUMN!r} is empty; it names the picture")
    if path.is_absolute() or ".." in path.parts:
        raise DataSetError(
            f"{table.where(line.number)}: {written!r} is no path below the folder of the pictures; give such a path"
        )
    return path.as_posix()


def _label(table: Table, line: Line, written: str, index: Callable[[str], int]) -> int | None:
    if written in NO_CLASS:
        return None
    try:
        return index(written)
    except ClassNameError as error:
        remedy = "leave it empty if the model has no such class"
        raise DataSetError(f"{table.where(line.number)}: {error}; {remedy}") from None


def label_column_of(table: Table, column: str | None) -> str:
    """The name of the column with the class; None stands for the first of `LABEL_COLUMNS` that the table has.

    Raises:
        DataSetError: The table has no such column, or no column with the file.
    """
    wanted = [column] if column is not None else LABEL_COLUMNS
    label_column = next((name for name in wanted if name in table.columns), None)
    if FILE_COLUMN in table.columns and label_column is not None:
        return label_column
    lacking = repr(FILE_COLUMN) if FILE_COLUMN not in table.columns else " or ".join(map(repr, wanted))
    remedy = "name the columns in line 1" if FILE_COLUMN not in table.columns else "name one with --label-column"
    raise DataSetError(f"{table.path} has no column {lacking}; it has {', '.join(table.columns) or 'none'}; {remedy}")


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures in a folder and in all folders below it, without hidden ones, in no order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _pictures_below(Path(entry))
            elif Path(entry).suffix.lower() in SUFFIXES and entry.is_file():
                yield Path(entry)


def _by_folders(folder: Path, classes: Classes, choice: Choice) -> DataSet:
    data = DataSet(folder)
    data.unlabelled = sum(path.parent == folder for path in _pictures_below(folder))
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            label = classes.index(inner.name)
        except ClassNameError as error:
            raise DataSetError(f"folder {inner}: {error}; rename the folder, or give a table with --labels") from None
        for path in _pictures_below(inner):
            data.add(_below(folder, path), label, 0, (), choice.seed)
    if not len(data) and data.unlabelled:
        raise DataSetError(
            f"{data.unlabelled} pictures in {folder} have no label: move them to one sub-folder per class, named by the"
            " index or the label of the class, or give a table with --labels"
        )
    return data
