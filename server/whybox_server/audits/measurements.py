"""From the table of an audit to the arrays that its reports are made of."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet

from whybox_server.audits.criticism.pictures import Floats, Integers, Measurements, Pictures, Texts
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.journal import INTRINSIC
from whybox_server.audits.passes.pictures import PREFIX

# The least size of a change, for a picture that lies exactly on the boundary: only a wrong answer is at distance 0.
_LEAST = float(np.nextafter(0.0, 1.0))
_DISTANCE = ".distance"
_HALVES = ("low", "high")
_FIXED = ("file", "label", "predicted", "right", "confidence", "group", "counted")
# Beside the measurements; `contents`, comparisons of audits and the bank read them.
_BESIDE = ("sha256", "label_name", "predicted_name", "embedding")


class PictureTable(Pictures):
    """The pictures that count in the table of an audit: a few numbers and texts for each, without embeddings.

    The table is sorted by class, so that a class is read without the others.

    Args:
        path: The file that `write_pictures` wrote.
        attributes: Names of columns of the caller's table, or of `INTRINSIC`, whose values are made of `halves`.
        confounders: Likewise.
        split: Name of the column with the parts; None for none.

    Raises:
        DataSetError: The file is no table of an audit, or lacks a column.
    """

    _metadata: parquet.FileMetaData | None = None

    def __init__(
        self, path: Path, attributes: Sequence[str] = (), confounders: Sequence[str] = (), split: str | None = None
    ) -> None:
        self._path, self._attributes, self._confounders, self._split = path, attributes, confounders, split
        with self._opened() as file:
            self._metadata = file.metadata
            names = file.schema_arrow.names
            norms = [name.removesuffix(_DISTANCE) for name in names if name.endswith(_DISTANCE)]
            self._norms = [norm for norm in norms if not norm.startswith(PREFIX)]
            given = (*attributes, *confounders, *([split] if split else []))
            self._stored = {name: _stored(path, name, names) for name in given}
            fields = [f"{norm}.{field}" for norm in self._norms for field in ("distance", "searched_radius", "reasons")]
            self._columns = list(dict.fromkeys([*_FIXED, *fields, *self._stored.values()]))
            if lacking := [name for name in (*self._columns, *_BESIDE) if name not in names]:
                message = f"{path} lacks {', '.join(lacking)}: another version of Whybox wrote it; run the audit again"
                raise DataSetError(message)
            # The classes of the groups of rows in which the file is written, from the first to the last of each.
            self._spans = [_span(file, group) for group in range(file.num_row_groups)]
            classes: set[int] = set()
            for batch in file.iter_batches(columns=["label", "counted"]):
                classes.update(compute.unique(batch.filter(batch["counted"])["label"]).to_pylist())
        self._classes = sorted(classes)

    @property
    def classes(self) -> Sequence[int]:
        """See `Pictures`."""
        return self._classes

    @cached_property
    def header(self) -> Measurements:
        """See `Pictures`."""
        return self._read([])

    def of_class(self, index: int) -> Measurements:
        """See `Pictures`."""
        return self._read(self._groups_of(index), compute.field("label") == index)

    def everything(self) -> Measurements:
        """All pictures at once."""
        return self._read(range(len(self._spans)))

    def contents(self, index: int) -> set[str]:
        """What tells the pictures of a class from others: their SHA-256, or their files in a table of predictions."""
        with self._opened() as file:
            table = file.read_row_groups(self._groups_of(index), columns=["file", "sha256", "label", "counted"])
        rows = table.filter((compute.field("label") == index) & compute.field("counted"))
        return set(compute.coalesce(rows["sha256"], rows["file"]).to_pylist())

    def _groups_of(self, index: int) -> list[int]:
        """The groups of rows with pictures of a class."""
        return [group for group, (first, last) in enumerate(self._spans) if first <= index <= last]

    def _read(self, groups: Sequence[int], condition: compute.Expression | None = None) -> Measurements:
        with self._opened() as file:
            table = file.read_row_groups(groups, columns=self._columns)
        counted = compute.field("counted")
        return self._measurements(table.filter(counted if condition is None else counted & condition))

    def _measurements(self, table: pa.Table) -> Measurements:
        labels = _numbers(table, "label").astype(np.int64)

        def texts(name: str) -> Texts:
            stored = self._stored[name]
            if stored.startswith(PREFIX):
                return np.array(table[stored].to_pylist(), dtype=np.str_)
            return halves(_numbers(table, stored), labels)

        right = table["right"].to_numpy()
        return Measurements(
            files=tuple(table["file"].to_pylist()),
            labels=labels,
            predicted=_numbers(table, "predicted").astype(np.int64),
            confidence=_numbers(table, "confidence"),
            distances={norm: _distances(table, norm, right) for norm in self._norms},
            searched_radius={norm: _numbers(table, f"{norm}.searched_radius") for norm in self._norms},
            reasons={norm: _doubted(table, norm) for norm in self._norms},
            attributes={name: texts(name) for name in self._attributes},
            confounders={name: texts(name) for name in self._confounders},
            split=None if self._split is None else texts(self._split),
            groups=_numbers(table, "group").astype(np.int64),
        )

    @contextmanager
    def _opened(self) -> Generator[parquet.ParquetFile]:
        try:
            with self._path.open("rb") as content, parquet.ParquetFile(content, metadata=self._metadata) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            message = f"{self._path} is no table of an audit ({error}); give the folder that an audit wrote"
            raise DataSetError(message) from error


def _span(file: parquet.ParquetFile, group: int) -> tuple[int, int]:
    """The first and the last class of a group of rows; the last is before the first in an empty group."""
    if not file.metadata.row_group(group).num_rows:
        return 0, -1
    column = file.schema_arrow.get_field_index("label")
    statistics = file.metadata.row_group(group).column(column).statistics
    return statistics.min, statistics.max


def halves(values: Floats, labels: Integers) -> Texts:
    """[N], "low" for the values up to the median of their class, "high" for those above it, and "" for NaN.

    Args:
        values: [N].
        labels: [N], the class of each.
    """
    found = np.full(len(values), "", dtype=f"<U{max(map(len, _HALVES))}")
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & ~np.isnan(values))
        if len(rows):
            found[rows] = np.array(_HALVES)[(values[rows] > np.median(values[rows])).astype(int)]
    return found


def _stored(path: Path, name: str, names: Sequence[str]) -> str:
    """The column of the file that holds a column of the caller's table or a covariate."""
    if PREFIX + name in names:
        return PREFIX + name
    if name in INTRINSIC:
        return name
    there = [each.removeprefix(PREFIX) for each in names if each.startswith(PREFIX)]
    raise DataSetError(f"{path} has no column {name!r}; its table had {', '.join(there) or 'none'}")


def _numbers(table: pa.Table, name: str) -> Floats:
    """[N], NaN for null."""
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _distances(table: pa.Table, norm: str, right: np.typing.NDArray[np.bool_]) -> Floats:
    distances = _numbers(table, norm + _DISTANCE)
    found = np.where(np.isnan(distances), np.inf, np.maximum(distances, _LEAST))
    return np.where(right, found, 0.0)


def _doubted(table: pa.Table, norm: str) -> np.typing.NDArray[np.bool_]:
    lengths = compute.fill_null(compute.list_value_length(table[f"{norm}.reasons"]), 0)
    return np.asarray(lengths.to_numpy() > 0)
