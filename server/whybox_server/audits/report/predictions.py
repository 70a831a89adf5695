"""Predictions that a table gives, in place of a packed model: what can be said without an attack."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from whybox_server.audits.data.classes import ClassNameError
from whybox_server.audits.data.columns import Role
from whybox_server.audits.data.dataset import Choice, DataSet, Row
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.reading import NO_CLASS, choose, label_column_of, read_table
from whybox_server.audits.data.tables import Table
from whybox_server.audits.passes.journal import JOURNAL, Journal, Record

PREDICTED, CONFIDENCE = "predicted", "confidence"
_ROLES: dict[str, Role] = {PREDICTED: "predicted", CONFIDENCE: "confidence"}

# Rows that are written together.
_ROWS = 1000
# Indices of classes are a list of names; a larger index is another number by mistake.
_MAX_CLASSES = 1_000_000


class Predictions(NamedTuple):
    """The pictures of a table, with their predictions as records.

    Attributes:
        data: The pictures.
        journal: A record of each of them, without distances and covariates.
        labels: Names of the classes, by their index.
    """

    data: DataSet
    journal: Journal
    labels: tuple[str, ...]


@contextmanager
def predictions(path: Path, choice: Choice) -> Generator[Predictions]:
    """Reads a table with the columns `file`, the class, `predicted`, and perhaps `confidence`.

    The classes are whole numbers from 0, or names; no model checks them.

    Args:
        path: The table; see `Table`.
        choice: Which rows and columns are used.

    Raises:
        DataSetError: A column is missing, or a cell is wrong.
    """
    table = Table(path)
    if PREDICTED not in table.columns:
        raise DataSetError(f"{path} has no column {PREDICTED!r}; it has {', '.join(table.columns) or 'none'}")
    choice = replace(choice, roles=tuple((name, role) for name, role in _ROLES.items() if name in table.columns))
    labels = _class_names(table, label_column_of(table, choice.label_column))
    indices = {label: index for index, label in enumerate(labels)}

    def index(written: str) -> int:
        try:
            return indices[_folded(written)]
        except KeyError:
            raise ClassNameError(f"{written!r} is no class") from None

    data, label_column = read_table(table, None, index, choice)
    with (
        choose(data, choice, label_column, table),
        TemporaryDirectory() as folder,
        Journal(Path(folder) / JOURNAL, {}) as journal,
    ):
        records = _records(data, table, indices)
        while batch := list(islice(records, _ROWS)):
            journal.append(batch)
        yield Predictions(data, journal, labels)


def _class_names(table: Table, label_column: str) -> tuple[str, ...]:
    """The classes that the table names: 0 to the largest if all are whole numbers, otherwise their names, sorted."""
    places = [table.columns.index(name) for name in (label_column, PREDICTED)]
    found = {_folded(cell) for line in table.rows() for place in places if (cell := line.cells[place]) not in NO_CLASS}
    if not all(name.isdecimal() for name in found):
        return tuple(sorted(found))
    largest = max(map(int, found), default=-1)
    if largest >= _MAX_CLASSES:
        raise DataSetError(f"{table.path}: class {largest} is too large; number the classes from 0")
    return tuple(map(str, range(largest + 1)))


def _folded(name: str) -> str:
    """One spelling of each whole number."""
    return str(int(name)) if name.isdecimal() else name


def _records(data: DataSet, table: Table, indices: dict[str, int]) -> Iterator[Record]:
    predicted, confidence = table.columns.index(PREDICTED), data.place("confidence")
    for row in data.rows():
        index = indices.get(_folded(row.cells[predicted]))
        if index is None:
            raise DataSetError(f"{table.path}: {row.file} has no class in column {PREDICTED!r}; remove the row")
        value = None if confidence is None else _probability(table, row, row.cells[confidence])
        yield Record(row.file, "", row.label, index, value)


def _probability(table: Table, row: Row, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DataSetError(f"{table.path}: {row.file} has {cell!r} in column {CONFIDENCE!r}; it must be 0 to 1")
    return value
