"""Tables as they come: CSV or Parquet, read row by row, each cell as text."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet

from whybox_server.audits.data.errors import DataSetError

PARQUET = ".parquet"
_BATCH_ROWS = 1000


class Line(NamedTuple):
    """One row of a table.

    Attributes:
        number: The line of a CSV file, from 2; the row of a Parquet file, from 1.
        cells: One text for each column, without spaces around it.
    """

    number: int
    cells: tuple[str, ...]


class Table:
    """A table on the disk; only a part of it is ever in memory.

    Args:
        path: A Parquet file if its name ends in `.parquet`, otherwise a CSV file in UTF-8 with a header.

    Attributes:
        path: The same.
        columns: Names of the columns.

    Raises:
        DataSetError: The file cannot be read, or two columns have one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parquet = path.suffix.lower() == PARQUET
        self.columns = self._header()
        twice = next((name for name in self.columns if self.columns.count(name) > 1), None)
        if twice is not None:
            raise DataSetError(f"{path} has two columns {twice!r}; rename one of them")

    def where(self, number: int) -> str:
        """The place of a row, for messages."""
        return f"{self.path}, {'row' if self._parquet else 'line'} {number}"

    def rows(self) -> Iterator[Line]:
        """The rows in their order.

        A missing value is "", a whole number has no decimals, a truth is "true" or "false", and a list is its values
        with spaces between them.

        Raises:
            DataSetError: The file is damaged, or a row has more cells than there are columns.
        """
        return self._parquet_rows() if self._parquet else self._csv_rows()

    def _header(self) -> tuple[str, ...]:
        if not self._parquet:
            return next(self._csv_lines(), Line(1, ())).cells
        try:
            with self.path.open("rb") as content, parquet.ParquetFile(content) as file:
                return tuple(file.schema_arrow.names)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error

    def _parquet_rows(self) -> Iterator[Line]:
        number = 0
        try:
            with self.path.open("rb") as content, parquet.ParquetFile(content) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    columns = [column.to_pylist() for column in batch.columns]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield Line(number, tuple(map(_text, cells)))
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error

    def _csv_rows(self) -> Iterator[Line]:
        lines = self._csv_lines()
        next(lines, None)
        for number, cells in lines:
            if len(cells) > len(self.columns):
                fault = f"has {len(cells)} cells, and the table has {len(self.columns)} columns"
                raise DataSetError(f"{self.where(number)} {fault}; put a cell with a comma in quotes")
            yield Line(number, cells + ("",) * (len(self.columns) - len(cells)))

    def _csv_lines(self) -> Iterator[Line]:
        try:
            # Spreadsheet programs begin UTF-8 files with a byte order mark.
            with self.path.open(encoding="utf-8-sig", newline="") as lines:
                rows = csv.reader(lines)
                for row in rows:
                    if row:
                        yield Line(rows.line_num, tuple(cell.strip() for cell in row))
        except OSError as error:
            raise self._unreadable(error) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataSetError(f"{self.path} is not a CSV file in UTF-8; save it as one") from error

    def _unreadable(self, error: Exception) -> DataSetError:
        if isinstance(error, OSError) and error.strerror:
            return DataSetError(f"{self.path} cannot be read ({error.strerror}); check the path")
        return DataSetError(f"{self.path} is not a Parquet file; save it as one")


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            # Tools that know no missing whole numbers write them as 1.0 and NaN.
            return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
        case list():
            return " ".join(map(_text, value))
        case _:
            return str(value).strip()
