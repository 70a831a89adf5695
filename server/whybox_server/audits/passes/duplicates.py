"""Copies among the pictures of a class: the same files, and near-duplicates by their perceptual hashes."""

import itertools
import sqlite3
import weakref
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from whybox_server.audits.data.dataset import DataSet
from whybox_server.audits.passes.journal import Journal

NEAR = 3
"""Perceptual hashes of near-duplicates differ in at most this number of their 64 bits."""

Groups = npt.NDArray[np.int64]

# Hashes that differ in at most NEAR bits agree in one of NEAR + 1 parts.
_PARTS = NEAR + 1
_BITS = 64 // _PARTS


class Copies:
    """Which of the measured pictures are copies; only one class is in memory at a time.

    The first file, in the order of the names, stands for all files of the class with the same bytes. A picture of
    another class is never a copy, because one of the two labels is wrong, and the audit cannot tell which.

    Args:
        data: The pictures.
        journal: Their records.
    """

    def __init__(self, data: DataSet, journal: Journal) -> None:
        # Without a name SQLite keeps the database in a temporary file, of which little is in memory.
        # A collector of garbage in any thread may close it.
        self._copies = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._close = weakref.finalize(self, self._copies.close)
        self._copies.execute("PRAGMA journal_mode=OFF")
        self._copies.execute(
            "CREATE TABLE copies (file TEXT PRIMARY KEY, label INTEGER NOT NULL, sha256 TEXT NOT NULL,"
            " kin INTEGER NOT NULL, counted INTEGER NOT NULL) WITHOUT ROWID"
        )
        begun = 0
        for label in data.labels():
            begun += self._add(label, begun, data, journal)

    def group(self, file: str) -> int:
        """The number of a measured picture's group, from 0: near-duplicates of a class, and copies, have the same."""
        return int(self._row("kin", file))

    def counted(self, file: str) -> bool:
        """Whether a measured picture counts, and no file before it is the same."""
        return bool(self._row("counted", file))

    @property
    def same(self) -> int:
        """Number of files that do not count, because another file of the class has the same bytes."""
        return self._number("SELECT count(*) FROM copies WHERE NOT counted")

    @property
    def near(self) -> int:
        """Number of pictures that count and are near-duplicates of an earlier one."""
        return self._number("SELECT count(*) - count(DISTINCT kin) FROM copies WHERE counted")

    @property
    def contradictory(self) -> int:
        """Number of files whose bytes are those of a file of another class."""
        same = "SELECT count(*) AS number FROM copies WHERE sha256 != '' GROUP BY sha256"
        return self._number(f"SELECT coalesce(sum(number), 0) FROM ({same} HAVING count(DISTINCT label) > 1)")

    def _add(self, label: int, begun: int, data: DataSet, journal: Journal) -> int:
        """Adds a class whose first group has the number `begun`; returns the number of its groups."""
        files, digests, hashes = [], [], []
        for file in data.of_class(label):
            if (known := journal.fingerprint(file)) is not None:
                files.append(file)
                digests.append(known.sha256)
                hashes.append(known.perceptual_hash)
        groups = grouped(digests, hashes).tolist()
        seen: set[str] = set()
        for file, digest, kin in zip(files, digests, groups, strict=True):
            counted = digest not in seen
            self._copies.execute(
                "INSERT INTO copies VALUES (?, ?, ?, ?, ?)", (file, label, digest, begun + kin, counted)
            )
            if digest:
                seen.add(digest)
        return 1 + max(groups, default=-1)

    def _row(self, column: str, file: str) -> int:
        (value,) = self._copies.execute(f"SELECT {column} FROM copies WHERE file = ?", [file]).fetchone()
        return int(value)

    def _number(self, query: str) -> int:
        (number,) = self._copies.execute(query).fetchone()
        return int(number)


def grouped(digests: list[str], hashes: list[str]) -> Groups:
    """Groups of pictures that are copies of each other, or of a copy.

    Args:
        digests: [N], of the pictures' bytes; equal ones are copies, "" is a copy of none.
        hashes: [N], 16 hexadecimal digits that differ in at most `NEAR` bits between near-duplicates; "" for a picture
            that is like no other.

    Returns:
        [N], the group of each picture, numbered from 0 in the order of their first pictures.
    """
    number = len(digests)
    nodes: dict[str, int] = {}
    links = [(place, number + nodes.setdefault(key, len(nodes))) for place, key in _keys(digests, hashes)]
    values = {key: node for key, node in nodes.items() if key.startswith("#")}
    numbers = np.array([int(key[1:], 16) for key in values], dtype=np.uint64)
    places = np.array(list(values.values()), dtype=np.int64) + number
    links += [(int(places[one]), int(places[other])) for one, other in _near(numbers)]
    size = number + len(nodes)
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    _, found = connected_components(
        coo_array((np.ones(len(rows), bool), (rows, columns)), (size, size)), directed=False
    )
    _, first, group = np.unique(found[:number], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]


def _keys(digests: list[str], hashes: list[str]) -> Iterator[tuple[int, str]]:
    """What each picture shares with its copies: its digest, and its hash after a `#`."""
    for place, (digest, hash_) in enumerate(zip(digests, hashes, strict=True)):
        if digest:
            yield place, digest
        if hash_:
            yield place, f"#{hash_}"


def _near(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """The pairs of different hashes, [N], that differ in at most `NEAR` bits; a pair may come more than once."""
    for part in range(_PARTS):
        bits = (hashes >> np.uint64(part * _BITS)) & np.uint64((1 << _BITS) - 1)
        order = np.argsort(bits, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(bits[order])) + 1):
            for one, other in itertools.combinations(run, 2):
                if np.bitwise_count(hashes[one] ^ hashes[other]) <= NEAR:
                    yield int(one), int(other)
