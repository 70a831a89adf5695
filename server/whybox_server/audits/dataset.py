"""The labelled pictures of a data set."""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whybox_server.audits.classes import Classes, ClassNameError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
FILE_COLUMN = "file"
LABEL_COLUMNS = ("label", "imagenet1k_index")
# Labels of pictures that show no class of the model.
_NO_CLASS = ("", "-1")


class DataSetError(Exception):
    """Pictures or labels are missing or wrong; the message names the fault and the remedy."""


@dataclass(frozen=True)
class Labelled:
    """A picture with its label.

    Attributes:
        file: Path of the picture below the folder of the data set, with `/`.
        label: Index of the correct class.
    """

    file: str
    label: int


@dataclass(frozen=True)
class DataSet:
    """The labelled pictures of a folder.

    Attributes:
        folder: The folder.
        pictures: The labelled pictures, sorted by file.
        not_of_the_model: Number of rows of the table whose picture shows no class of the model.
        unlabelled: Number of pictures in the folder without a label.
    """

    folder: Path
    pictures: tuple[Labelled, ...]
    not_of_the_model: int = 0
    unlabelled: int = 0

    def sample(self, limit: int | None, seed: int) -> "DataSet":
        """At most `limit` pictures, drawn at random.

        A larger limit with the same seed gives the same pictures and more.

        Args:
            limit: The most pictures to draw, at least 1; None keeps all of them.
            seed: Seed of the random order.
        """
        drawn = list(self.pictures)
        random.Random(seed).shuffle(drawn)  # noqa: S311 (a sample, not a secret)
        return replace(self, pictures=tuple(sorted(drawn[:limit], key=lambda picture: picture.file)))


def read_data_set(folder: Path, labels: Sequence[str], table: Path | None = None, column: str | None = None) -> DataSet:
    """Finds the labelled pictures of a folder.

    Args:
        folder: A folder with one sub-folder per class, named by the index or the label of the class. With `table` the
            pictures may lie anywhere in it.
        labels: Labels of the model's classes, in the order of the indices.
        table: A CSV file with a header. Its column `file` holds paths below the folder, and `column` holds the class
            as index or label (empty or -1 for pictures that show no class of the model).
        column: Name of the column with the class. Default: the first of `LABEL_COLUMNS` that the table has.

    Raises:
        DataSetError: The folder, the table, a picture or a label is missing or wrong, or no picture has a label.
    """
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder; give the folder with the pictures")
    if column is not None and table is None:
        raise DataSetError("--label-column names a column of a table; give the table with --labels")
    classes = Classes(labels)
    data = _by_folders(folder, classes) if table is None else _by_table(folder, classes, table, column)
    if not data.pictures:
        rows = f"; {data.not_of_the_model} rows are marked as no class of the model" if data.not_of_the_model else ""
        raise DataSetError(f"no labelled picture in {folder}{rows}; pictures end in {', '.join(SUFFIXES)}")
    return data


def _pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures in a folder and in all folders below it, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path


def _by_folders(folder: Path, classes: Classes) -> DataSet:
    loose = sum(path.parent == folder for path in _pictures_below(folder))
    found = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            label = classes.index(inner.name)
        except ClassNameError as error:
            raise DataSetError(f"folder {inner}: {error}; rename the folder, or give a table with --labels") from None
        found += [Labelled(path.relative_to(folder).as_posix(), label) for path in _pictures_below(inner)]
    if not found and loose:
        raise DataSetError(
            f"{loose} pictures in {folder} have no label: move them to one sub-folder per class, named by the index or"
            " the label of the class, or give a table with --labels"
        )
    return DataSet(folder, tuple(sorted(found, key=lambda picture: picture.file)), unlabelled=loose)


def _by_table(folder: Path, classes: Classes, table: Path, column: str | None) -> DataSet:
    found: dict[str, int] = {}
    listed = set()
    skipped = 0
    for line, file, written in _rows(table, column):
        if file in listed:
            raise DataSetError(f"{table}, line {line}: {file} has two rows; keep one row per picture")
        listed.add(file)
        if written.strip() in _NO_CLASS:
            skipped += 1
            continue
        try:
            found[file] = classes.index(written)
        except ClassNameError as error:
            raise DataSetError(
                f"{table}, line {line}: {error}; leave it empty if the model has no such class"
            ) from None
        if not (folder / file).is_file():
            raise DataSetError(
                f"{table}, line {line}: {folder / file} does not exist; remove the row, or add the picture"
            )
    here = {path.relative_to(folder).as_posix() for path in _pictures_below(folder)}
    pictures = tuple(Labelled(file, label) for file, label in sorted(found.items()))
    return DataSet(folder, pictures, not_of_the_model=skipped, unlabelled=len(here - listed))


def _rows(table: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """The line number, the file and the class of each row."""
    try:
        # Spreadsheet programs begin UTF-8 files with a byte order mark.
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            header = list(rows.fieldnames or [])
            wanted = [column] if column is not None else LABEL_COLUMNS
            label_column = next((name for name in wanted if name in header), None)
            if FILE_COLUMN not in header or label_column is None:
                lacking = repr(FILE_COLUMN) if FILE_COLUMN not in header else " or ".join(map(repr, wanted))
                remedy = "name the columns in line 1" if FILE_COLUMN not in header else "name one with --label-column"
                raise DataSetError(f"{table} has no column {lacking}; it has {', '.join(header) or 'none'}; {remedy}")
            for row in rows:
                # A row with too few cells has None in place of those that it lacks.
                yield rows.line_num, row[FILE_COLUMN] or "", row[label_column] or ""
    except OSError as error:
        raise DataSetError(f"{table} cannot be read ({error.strerror}); check --labels") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"{table} is not a CSV file in UTF-8; save it as one") from error
