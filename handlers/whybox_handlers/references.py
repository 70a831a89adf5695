"""The audited pictures in an archive: their features in an index, and what is known of each.

Three files hold them. The index (usearch, HNSW: Malkov and Yashunin, arXiv:1603.09320) has the features of the picture
N under the key N. The rows are an array with one entry per picture, and the records are serialized `v1.Neighbour`s, one
after another. All three are mapped into memory, so that the processes that use an archive share one copy.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index, Matches

from whybox import v1

INDEX, ROWS, RECORDS = "references.usearch", "references.rows", "references.binpb"
FILES = (INDEX, ROWS, RECORDS)

ORDINARY, PROTOTYPE, CRITICISM = range(3)
"""What a picture is in its class."""

# The end of the record, from the beginning of the file; the class that the label names; and what it is in that class.
_ROW = np.dtype([("end", "<u8"), ("label", "<i4"), ("kind", "i1")])
# Half precision changes a cosine by less than 1e-3, and halves the file.
_TYPE = "f16"
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 16, 128, 256
# Up to this number of pictures all are compared, which takes no longer than a search.
_EXACT = 10_000
# At most this number of features is added or compared at once.
_ROWS_AT_ONCE = 1000


class Match(NamedTuple):
    """A picture that is like another one.

    Attributes:
        key: Its number.
        similarity: Cosine of the features, -1 to 1.
    """

    key: int
    similarity: float


class ReferenceWriter:
    """Writes the files; only the index is in memory.

    Args:
        folder: Where to write.
        dimensions: Number of features.
    """

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.dimensions = dimensions
        self._folder = folder
        self._index = Index(ndim=dimensions, dtype=_TYPE, connectivity=_CONNECTIVITY, expansion_add=_EXPANSION_ADD)
        for name in (ROWS, RECORDS):
            (folder / name).write_bytes(b"")
        self._end = 0
        self.largest_record = self.largest_thumbnail = 0

    def add(self, features: NDArray[np.float32], pictures: Sequence[v1.Neighbour], kinds: Iterable[int]) -> None:
        """Adds pictures.

        Args:
            features: [N, dimensions].
            pictures: N of them, without a similarity.
            kinds: Of each: `ORDINARY`, `PROTOTYPE` or `CRITICISM`.
        """
        first = len(self._index)
        # One thread adds in one order: the same pictures give the same bytes.
        self._index.add(np.arange(first, first + len(pictures)), _units(features), threads=1)
        rows, records = [], []
        for picture, kind in zip(pictures, kinds, strict=True):
            record, thumbnail = picture.SerializeToString(deterministic=True), len(picture.thumbnail)
            self._end += len(record)
            records.append(record)
            rows.append((self._end, picture.class_index, kind))
            self.largest_record = max(self.largest_record, len(record) - thumbnail)
            self.largest_thumbnail = max(self.largest_thumbnail, thumbnail)
        for name, content in ((ROWS, np.array(rows, dtype=_ROW).tobytes()), (RECORDS, b"".join(records))):
            with (self._folder / name).open("ab") as file:
                file.write(content)

    def finish(self) -> int:
        """Completes the files; the number of pictures in them."""
        self._index.save(self._folder / INDEX)
        return len(self._index)


class References:
    """The pictures in the files of a folder.

    The files may be deleted afterwards; what is mapped stays.
    """

    def __init__(self, folder: Path) -> None:
        index = Index.restore(folder / INDEX, view=True, expansion_search=_EXPANSION_SEARCH)
        if index is None:
            raise ValueError(f"{folder / INDEX} is no index")
        self._index = index
        self._rows = np.memmap(folder / ROWS, dtype=_ROW, mode="r")
        self._records = np.memmap(folder / RECORDS, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, key: int) -> v1.Neighbour:
        """What is known of a picture."""
        start = int(self._rows["end"][key - 1]) if key else 0
        return v1.Neighbour.FromString(self._records[start : int(self._rows["end"][key])].tobytes())

    def label(self, key: int) -> int:
        """The class that a picture's label names."""
        return int(self._rows["label"][key])

    def count(self, label: int) -> int:
        """Number of pictures of a class."""
        return int((self._rows["label"] == label).sum())

    def nearest(self, features: NDArray[np.float32], count: int) -> list[Match]:
        """At most `count` pictures, the most similar first.

        Args:
            features: [dimensions].
            count: At least 1.
        """
        [unit] = _units(features[None])
        found = self._index.search(unit, min(count, len(self)), threads=1, exact=len(self) <= _EXACT)
        assert isinstance(found, Matches)  # noqa: S101 (one query, for the type checker)
        # Half precision may put the same features a little beyond 1.
        similarities = np.clip(1 - found.distances.astype(np.float64), -1, 1)
        return [Match(int(key), float(cosine)) for key, cosine in zip(found.keys, similarities, strict=True)]

    def nearest_outside(self, features: NDArray[np.float32], label: int, count: int) -> list[Match]:
        """At most `count` pictures of other classes, the most similar first.

        Args:
            features: [dimensions].
            label: The class that is left out.
            count: At least 1.
        """
        wanted = min(count, len(self) - self.count(label))
        asked = 4 * count
        while True:
            found = [match for match in self.nearest(features, asked) if self.label(match.key) != label]
            if len(found) >= wanted or asked >= len(self):
                return found[:count]
            asked *= 4

    def nearest_of(self, features: NDArray[np.float32], label: int, kind: int, count: int) -> list[Match]:
        """At most `count` pictures of a class that are of a kind, the most similar first; all of them are compared.

        Args:
            features: [dimensions].
            label: The class.
            kind: `PROTOTYPE` or `CRITICISM`.
            count: At least 1.
        """
        keys = np.flatnonzero((self._rows["label"] == label) & (self._rows["kind"] == kind))
        similarities = np.empty(len(keys))
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            theirs = np.asarray(self._index.get(keys[some], dtype="f32"))
            similarities[some] = _units(theirs) @ _units(features[None])[0]
        best = np.argsort(-similarities, kind="stable")[:count]
        return [Match(int(keys[row]), float(similarities[row])) for row in best]


def _units(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, dimensions] scaled to length 1, which half precision holds; features that are all 0 stay so."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
