"""The labelled pictures of a data set, checked and chosen once, and kept on the disk."""

import hashlib
import os
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from whybox_server.audits.criticism.pictures import UNKNOWN
from whybox_server.audits.data.boxes import parse_boxes
from whybox_server.audits.data.columns import ADJUSTED, MEANING, SHOWN, Column, Role, reason_against, role_of
from whybox_server.audits.data.conditions import Condition
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.data.tables import Table
from whybox_server.validation.checks import did_you_mean

FILE_COLUMN = "file"

_KNOWN = "lower({0}) NOT IN (" + ", ".join(f"'{value}'" for value in UNKNOWN) + ")"


@dataclass(frozen=True)
class Labelled:
    """A picture with its label.

    Attributes:
        file: Path of the picture below the folder of the data set, with `/`.
        label: Index of the correct class.
    """

    file: str
    label: int

    @property
    def key(self) -> str:
        """The name of its record in a journal."""
        return self.file


class Row(NamedTuple):
    """A picture with all that the table says about it.

    Attributes:
        file: Path of the picture below the folder of the data set, with `/`.
        label: Index of the correct class.
        cells: One text for each of `DataSet.columns`; a table's only.
    """

    file: str
    label: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Which rows of a table are audited, and what its columns are for.

    Attributes:
        label_column: Name of the column with the class; None for the first of `LABEL_COLUMNS` in it (see `reading`).
        attributes: Names of columns to test even if they would not be tested by themselves; see `reason_against`.
        confounders: Names of the columns that tests adjust for.
        where: Conditions such as `render=0` and `style!=sketch`; rows that meet all of them are kept.
        intrinsic: Names beside those of the columns that `attributes` and `confounders` may hold.
        roles: Columns that the caller reads itself, by name.
        limit: The most pictures to draw at random, at least 1; None keeps all of them. A larger limit with the same
            seed gives the same pictures and more.
        seed: Seed of the draw.
    """

    label_column: str | None = None
    attributes: tuple[str, ...] = ()
    confounders: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    intrinsic: tuple[str, ...] = ()
    roles: tuple[tuple[str, Role], ...] = ()
    limit: int | None = None
    seed: int = 0


class Listed(Protocol):
    """Labelled pictures, all those of a data set or some of them."""

    @property
    def columns(self) -> Sequence[Column]:
        """What the cells of a row hold."""

    def __len__(self) -> int:
        """The number of pictures."""

    def pictures(self) -> Iterator[Labelled]:
        """The pictures, sorted by file."""

    def rows(self) -> Iterator[Row]:
        """The pictures with their cells, sorted by file."""


class DataSet:
    """The labelled pictures that are audited, in a temporary file; close it after use.

    Attributes:
        folder: The folder of the pictures; None if there are none, but a table of predictions.
        columns: The columns of the table, in its order; empty without a table.
        intrinsic_attributes: The attributes asked for that are no columns.
        intrinsic_confounders: The confounders asked for that are no columns.
        not_of_the_model: Number of rows of the table whose picture shows no class of the model.
        left_out: Number of the other rows that do not meet the conditions.
        unlabelled: Number of pictures in the folder without a label.
    """

    def __init__(self, folder: Path | None, names: Sequence[str] = ()) -> None:
        self.folder = folder
        self.columns: tuple[Column, ...] = ()
        self.intrinsic_attributes: tuple[str, ...] = ()
        self.intrinsic_confounders: tuple[str, ...] = ()
        self.not_of_the_model = self.left_out = self.unlabelled = 0
        # Without a name SQLite keeps the database in a temporary file, of which little is in memory.
        # A collector of garbage in any thread may close it.
        self._listed = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._close = weakref.finalize(self, self._listed.close)
        self._listed.execute("PRAGMA journal_mode=OFF")
        cells = "".join(f", c{place} TEXT NOT NULL" for place in range(len(names)))
        self._names = tuple(names)
        self._listed.execute(
            "CREATE TABLE listed (file TEXT PRIMARY KEY, label INTEGER, line INTEGER NOT NULL, drawn INTEGER NOT NULL"
            f"{cells}) WITHOUT ROWID"
        )
        self._insert = f"INSERT INTO listed VALUES (?, ?, ?, ?{', ?' * len(names)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def __len__(self) -> int:
        """The number of pictures."""
        return self._count("1")

    def pictures(self) -> Iterator[Labelled]:
        """The pictures, sorted by file."""
        for file, label in self._listed.execute("SELECT file, label FROM listed ORDER BY file"):
            yield Labelled(file, label)

    def rows(self) -> Iterator[Row]:
        """The pictures with their cells, sorted by class and then by file."""
        for file, label, _, _, *cells in self._listed.execute("SELECT * FROM listed ORDER BY label, file"):
            yield Row(file, label, tuple(cells))

    def labels(self) -> list[int]:
        """The classes that have pictures, sorted."""
        return [label for (label,) in self._listed.execute("SELECT DISTINCT label FROM listed ORDER BY label")]

    def of_class(self, label: int) -> Iterator[str]:
        """The files of a class, sorted."""
        for (file,) in self._listed.execute("SELECT file FROM listed WHERE label = ? ORDER BY file", [label]):
            yield file

    def place(self, role: Role) -> int | None:
        """The place of the first column with a role among `columns`; None without one."""
        return next((place for place, column in enumerate(self.columns) if column.role == role), None)

    def all_columns(self) -> Iterator[Column]:
        """The columns, and the attributes and confounders that are no columns."""
        yield from self.columns
        yield from (Column(name, "attribute") for name in self.intrinsic_attributes)
        yield from (Column(name, "confounder", reason=ADJUSTED) for name in self.intrinsic_confounders)

    def add(self, file: str, label: int | None, line: int, cells: Sequence[str], seed: int) -> bool:
        """Lists a picture; False if it is listed already.

        Raises:
            DataSetError: The name of the file is not UTF-8.
        """
        # Larger samples hold the smaller ones, because the order of a draw depends on the name and the seed alone.
        drawn = int.from_bytes(hashlib.sha256(f"{seed}:{file}".encode(errors="replace")).digest()[:7], "big")
        try:
            self._listed.execute(self._insert, (file, label, line, drawn, *cells))
        except sqlite3.IntegrityError:
            return False
        except UnicodeEncodeError as error:
            raise DataSetError(f"the name of {file!r} is not UTF-8; rename the file") from error
        return True

    def has(self, file: str) -> bool:
        """Whether a file is listed."""
        return self._listed.execute("SELECT 1 FROM listed WHERE file = ?", [file]).fetchone() is not None

    def keep_labelled(self) -> None:
        """Drops and counts the pictures that show no class of the model."""
        self.not_of_the_model = self._count("label IS NULL")
        self._listed.execute("DELETE FROM listed WHERE label IS NULL")

    def keep(self, conditions: Sequence[Condition]) -> None:
        """Drops and counts the pictures that do not meet all conditions.

        Raises:
            DataSetError: The table has no such column, no row has the value, or no row meets all conditions.
        """
        before = len(self)
        for condition in conditions:
            cell = f"c{self._names.index(self._known_name('--where', condition.column))}"
            if not self._count(f"{cell} = ?", condition.value):
                there = ", ".join(repr(value) for value in self._values(cell))
                raise DataSetError(
                    f"--where {condition}: no picture has {condition.value!r} in column {condition.column!r}; it holds"
                    f" {there}"
                )
        for condition in conditions:
            cell, other = f"c{self._names.index(condition.column)}", "!=" if condition.equal else "="
            self._listed.execute(f"DELETE FROM listed WHERE {cell} {other} ?", [condition.value])
        self.left_out = before - len(self)
        if before and not len(self):
            raise DataSetError(f"no picture meets --where {' --where '.join(map(str, conditions))} at once")

    def draw(self, limit: int) -> None:
        """Keeps at most `limit` pictures."""
        self._listed.execute(
            "DELETE FROM listed WHERE file NOT IN (SELECT file FROM listed ORDER BY drawn, file LIMIT ?)", [limit]
        )

    def absent(self) -> tuple[int, str] | None:
        """Line and file of the first row whose picture is not in the folder."""
        if self.folder is None:
            return None
        for line, file in self._listed.execute("SELECT line, file FROM listed ORDER BY line"):
            if not os.path.isfile(self.folder / file):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
                return line, file
        return None

    def parts(self) -> list[str]:
        """The known values of the column with the role "split", sorted; empty without one."""
        place = self.place("split")
        if place is None:
            return []
        found = self._listed.execute(
            f"SELECT DISTINCT c{place} FROM listed WHERE {_KNOWN.format(f'c{place}')} ORDER BY c{place}"
        )
        return [part for (part,) in found]

    def check_boxes(self, table: Table) -> None:
        """Raises DataSetError for the first cell of a column of boxes that holds none."""
        for place, name in enumerate(self._names):
            if role_of(name) == "box":
                for line, cell in self._listed.execute(f"SELECT line, c{place} FROM listed ORDER BY line"):
                    try:
                        parse_boxes(cell)
                    except ValueError as error:
                        raise DataSetError(f"{table.where(line)}, column {name!r}: {error}") from None

    def assign(self, choice: Choice, label_column: str | None) -> None:
        """Decides what each column is for.

        Raises:
            DataSetError: An attribute or a confounder is no column or has another role, or a column is both.
        """
        for option, wanted in (("--attribute", choice.attributes), ("--confounder", choice.confounders)):
            for name in wanted:
                if name not in choice.intrinsic:
                    self._known_name(option, name, choice.intrinsic)
        given: dict[str, Role] = {FILE_COLUMN: "file", **dict(choice.roles)}
        if label_column is not None:
            given[label_column] = "label"
        for option, wanted in (("--attribute", choice.attributes), ("--confounder", choice.confounders)):
            if taken := next((name for name in wanted if name in given and name in self._names), None):
                raise DataSetError(f"{option} {taken!r} divides no pictures: {MEANING[given[taken]]}; leave it out")
        self._listed.execute("CREATE INDEX by_class ON listed (label, file)")
        both = next((name for name in choice.attributes if name in choice.confounders), None)
        if both is not None:
            raise DataSetError(f"{both!r} is given as --attribute and as --confounder; choose one")
        self.intrinsic_attributes = tuple(name for name in choice.attributes if name not in self._names)
        self.intrinsic_confounders = tuple(name for name in choice.confounders if name not in self._names)
        self.columns = tuple(self._column(place, name, given, choice) for place, name in enumerate(self._names))

    def _column(self, place: int, name: str, given: dict[str, Role], choice: Choice) -> Column:
        wanted = name in choice.attributes
        role = given.get(name) or (None if wanted or name in choice.confounders else role_of(name))
        if role is not None:
            return Column(name, role, reason=MEANING[role])
        cell = f"c{place}"
        known = _KNOWN.format(cell)
        in_class = f"SELECT count(DISTINCT CASE WHEN {known} THEN {cell} END) AS number FROM listed GROUP BY label"
        (distinct, pictures) = self._listed.execute(
            f"SELECT count(DISTINCT {cell}), count(*) FROM listed WHERE {known}"
        ).fetchone()
        (most, fewest) = self._listed.execute(
            f"SELECT max(number), coalesce(min(CASE WHEN number > 1 THEN number END), 0) FROM ({in_class})"
        ).fetchone()
        reason = reason_against(distinct, pictures, most or 0, fewest, named=wanted)
        if name in choice.confounders:
            role, reason = "confounder", ADJUSTED
        else:
            role = "attribute" if wanted or not reason else "other"
        return Column(name, role, distinct, self._values(cell), reason)

    def _values(self, cell: str) -> dict[str, int]:
        return dict(
            self._listed.execute(
                f"SELECT {cell}, count(*) FROM listed GROUP BY {cell} ORDER BY count(*) DESC, {cell} LIMIT {SHOWN}"
            )
        )

    def _known_name(self, option: str, name: str, others: Sequence[str] = ()) -> str:
        if name in self._names:
            return name
        question = did_you_mean(name, [*self._names, *others])
        hint = f"; {question}" if question else ""
        there = f"the table has {', '.join(self._names)}" if self._names else "give a table with --labels"
        raise DataSetError(f"{option} {name!r} is no column: {there}{hint}")

    def _count(self, condition: str, *values: str) -> int:
        (number,) = self._listed.execute(f"SELECT count(*) FROM listed WHERE {condition}", values).fetchone()
        return int(number)
