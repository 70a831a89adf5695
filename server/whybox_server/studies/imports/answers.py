"""Answers of a model for labelled pictures: a pass of the packed model, or a table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from whybox_server.audits.data.reading import LABEL_COLUMNS, NO_CLASS
from whybox_server.audits.data.tables import Line, Table
from whybox_server.audits.passes.run import PassOptions, predicted
from whybox_server.studies.errors import StudyError

_CLASSES = 1000  # of ImageNet-1k
_FILE, _PREDICTED = "file", "predicted"
_PREFIX, _PASS = "study", "predictions"


@dataclass(frozen=True)
class ModelAnswer:
    """What a model answered for a picture.

    Attributes:
        file: Name of the picture, without folders.
        given: Index of the data set's class, 0 to 999.
        predicted: Index of the model's class, 0 to 999.
    """

    file: str
    given: int
    predicted: int


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of a model.

    Attributes:
        model: Its name, with its version if known.
        data: The pictures.
        rows: The answers, one for each picture.
    """

    model: str
    data: str
    rows: tuple[ModelAnswer, ...]


def answers_of_model(asked: PassOptions, err: Console) -> ModelAnswers:
    """Predicts the pictures of a folder by a packed model; an interrupted pass goes on.

    Args:
        asked: The model, the pictures and the folder for the results.
        err: Console for the progress.

    Raises:
        StudyError: The model has other classes than ImageNet-1k, or a picture cannot be decoded.
        Exception: As `predicted`.
    """
    with predicted(asked, asked.labels, _PREFIX, err, _PASS) as done:
        if len(done.labels) != _CLASSES:
            raise StudyError(
                f"the model has {len(done.labels)} classes, and people were asked about the {_CLASSES} of ImageNet-1k;"
                " choose another with --model"
            )
        rows = []
        for picture in done.data.pictures():
            record = done.journal[picture.file]
            if record.predicted is None:
                raise StudyError(f"{asked.folder / picture.file}: {record.error}; remove the picture, or mend it")
            rows.append(ModelAnswer(_name(picture.file), picture.label, record.predicted))
        return ModelAnswers(done.model, asked.folder.name, _distinct(asked.folder, rows))


def answers_of_table(path: Path, labels: Path | None, label_column: str | None) -> ModelAnswers:
    """Reads a table of predictions: columns `file`, `predicted` and the class, as whole numbers from 0 to 999.

    Args:
        path: The table; see `Table`.
        labels: Another table with the class of each file; None if `path` has it.
        label_column: Column with the class; None for `label` or `imagenet1k_index`.

    Raises:
        DataSetError: A table cannot be read.
        StudyError: A column, a class or a row is missing or wrong.
    """
    table = Table(path)
    given = _column(table if labels is None else Table(labels), label_column, LABEL_COLUMNS)
    rows = []
    for file, index in _column(table, _PREDICTED, ()).items():
        if file not in given:
            raise StudyError(f"{labels} has no row for {file}; add it, or remove the picture from {path}")
        rows.append(ModelAnswer(file, given[file], index))
    if not rows:
        raise StudyError(f"{path} has no row with a class")
    return ModelAnswers(path.stem, path.name, tuple(rows))


def _column(table: Table, wanted: str | None, usual: Sequence[str]) -> dict[str, int]:
    """The classes in a column, by the name of the file; rows without a class are left out."""
    names = (wanted,) if wanted else usual
    there = f"it has {', '.join(table.columns) or 'none'}"
    column = next((name for name in names if name in table.columns), None)
    if column is None or _FILE not in table.columns:
        missing = _FILE if column is not None else " or ".join(names)
        hint = "" if wanted else "; give a table with the classes as --labels"
        raise StudyError(f"{table.path} has no column {missing}: {there}{hint}")
    file, place = table.columns.index(_FILE), table.columns.index(column)
    found: dict[str, int] = {}
    for line in table.rows():
        if line.cells[place] in NO_CLASS:
            continue
        name = _name(line.cells[file])
        if name in found:
            raise StudyError(f"{table.where(line.number)}: {name} is there twice; remove one of the rows")
        found[name] = _class(table, column, line, line.cells[place])
    return found


def _class(table: Table, column: str, line: Line, cell: str) -> int:
    if not cell.isdecimal() or int(cell) >= _CLASSES:
        raise StudyError(f"{table.where(line.number)}: {column} is {cell!r}, and must be 0 to {_CLASSES - 1}")
    return int(cell)


def _name(file: str) -> str:
    """The name of a file without folders: published votes name pictures so."""
    return file.rpartition("/")[2]


def _distinct(folder: Path, rows: Sequence[ModelAnswer]) -> tuple[ModelAnswer, ...]:
    names = [row.file for row in rows]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise StudyError(f"{folder} has {twice} in two folders; votes name pictures without folders, so remove one")
    return tuple(rows)
