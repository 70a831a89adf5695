"""Finding the pictures of a data set and the class that each belongs to."""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whybox_server.audits.classes import Classes, ClassNameError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
FILE_COLUMN = "file"
LABEL_COLUMNS = ("label", "imagenet1k_index")
# What a row says whose picture shows none of the model's classes.
_NO_CLASS = ("", "-1")


class DataSetError(Exception):
    """Pictures or labels cannot be had; names what is wrong and the remedy."""


@dataclass(frozen=True)
class Labelled:
    """One picture whose class is known.

    Attributes:
        file: Its path below the data set's folder, with `/`.
        label: Index of the right class.
    """

    file: str
    label: int


@dataclass(frozen=True)
class DataSet:
    """The labelled pictures of a folder.

    Attributes:
        folder: Where they lie.
        pictures: Sorted by file.
        not_of_the_model: Rows of the labels that name no class of the model.
        unlabelled: Pictures in the folder that nothing labels.
    """

    folder: Path
    pictures: tuple[Labelled, ...]
    not_of_the_model: int = 0
    unlabelled: int = 0

    def sample(self, limit: int | None, seed: int) -> "DataSet":
        """At most so many pictures, drawn at random; a larger limit with the same seed adds to the same pictures."""
        drawn = list(self.pictures)
        random.Random(seed).shuffle(drawn)  # noqa: S311 (a sample, not a secret)
        return replace(self, pictures=tuple(sorted(drawn[:limit], key=lambda picture: picture.file)))


def read_data_set(folder: Path, labels: Sequence[str], table: Path | None = None, column: str | None = None) -> DataSet:
    """The data set in a folder.

    Args:
        folder: With a sub-folder for each class, named by its index or label; or with `table`, anything.
        labels: Of the model's classes.
        table: A CSV file with a header: a column `file`, paths below the folder, and one with classes (index or label;
            empty or -1 for none of the model's).
        column: That other column; without it the first of `LABEL_COLUMNS` that there is.

    Raises:
        DataSetError: Anything is missing or is not what it should be.
    """
    if not folder.is_dir():
        raise DataSetError(f"{folder} is not a folder; name the one with the pictures")
    if column is not None and table is None:
        raise DataSetError("a label column needs the table that has it; give --labels too")
    classes = Classes(labels)
    data = _by_folders(folder, classes) if table is None else _by_table(folder, classes, table, column)
    if not data.pictures:
        rows = f"; {data.not_of_the_model} rows name no class of the model" if data.not_of_the_model else ""
        raise DataSetError(f"no labelled picture in {folder}{rows}; pictures are {', '.join(SUFFIXES)}")
    return data


def _pictures_below(folder: Path) -> Iterator[Path]:
    """Pictures in a folder and all below it; hidden files are nobody's pictures."""
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
            raise DataSetError(f"the folder {inner}: {error}; rename it, or give the labels with --labels") from None
        found += [Labelled(path.relative_to(folder).as_posix(), label) for path in _pictures_below(inner)]
    if not found and loose:
        raise DataSetError(
            f"no labels for the {loose} pictures in {folder}: put them in one sub-folder per class, named by its index"
            " or label, or give --labels FILE.csv"
        )
    return DataSet(folder, tuple(sorted(found, key=lambda picture: picture.file)), unlabelled=loose)


def _by_table(folder: Path, classes: Classes, table: Path, column: str | None) -> DataSet:
    found: dict[str, int] = {}
    listed = set()
    skipped = 0
    for line, file, written in _rows(table, column):
        if file in listed:
            raise DataSetError(f"{table}, line {line}: {file} stands there twice; keep one row for each picture")
        listed.add(file)
        if written.strip() in _NO_CLASS:
            skipped += 1
            continue
        try:
            found[file] = classes.index(written)
        except ClassNameError as error:
            raise DataSetError(f"{table}, line {line}: {error}; leave it empty for none of the model's") from None
        if not (folder / file).is_file():
            raise DataSetError(f"{table}, line {line}: {folder / file} is missing; remove the row, or add the picture")
    here = {path.relative_to(folder).as_posix() for path in _pictures_below(folder)}
    pictures = tuple(Labelled(file, label) for file, label in sorted(found.items()))
    return DataSet(folder, pictures, not_of_the_model=skipped, unlabelled=len(here - listed))


def _rows(table: Path, column: str | None) -> Iterator[tuple[int, str, str]]:
    """Line number, file and class of each row."""
    try:
        # Spreadsheets begin UTF-8 files with a byte order mark.
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            header = list(rows.fieldnames or [])
            wanted = [column] if column is not None else LABEL_COLUMNS
            label_column = next((name for name in wanted if name in header), None)
            if FILE_COLUMN not in header or label_column is None:
                lacking = repr(FILE_COLUMN) if FILE_COLUMN not in header else " or ".join(map(repr, wanted))
                remedy = "name it in the first line" if FILE_COLUMN not in header else "choose with --label-column"
                raise DataSetError(f"{table} has no column {lacking}, but {', '.join(header) or 'none'}; {remedy}")
            for row in rows:
                # A row that is too short has None in place of what it lacks.
                yield rows.line_num, row[FILE_COLUMN] or "", row[label_column] or ""
    except OSError as error:
        raise DataSetError(f"{table} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"{table} is not a CSV file in UTF-8; save it as one") from error
