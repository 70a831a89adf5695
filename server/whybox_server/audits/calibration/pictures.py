"""Which pictures of a calibration table count, and which part each belongs to."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from whybox_server.audits.data.columns import SPLIT
from whybox_server.audits.data.dataset import DataSet
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.duplicates import NEAR, grouped
from whybox_server.audits.passes.journal import Fingerprint, Journal

Part = Literal["calibration", "test"]
PARTS: tuple[Part, Part] = ("calibration", "test")
"""The parts of a table: thresholds come from the first, and coverage is measured on the second."""

REASONS = ("unreadable", "failed", "contradictory", "audited", "copy")
"""Why a picture is left out: it cannot be decoded; the network failed; the same file has another class too; it, or a
near-duplicate, is among the audited pictures; it is a copy or a near-duplicate of an earlier one."""

# Hashes that differ in at most NEAR bits agree in one of NEAR + 1 parts.
_HASH_PARTS = NEAR + 1
_PART_BITS = 64 // _HASH_PARTS


@dataclass(frozen=True)
class Calibrating:
    """A picture of the table.

    Attributes:
        file: Its path below the folder of the table.
        label: Index of the right class.
        part: The part that it belongs to; "" for a picture that is left out.
        left_out: One of `REASONS`; "" for a picture that counts.
    """

    file: str
    label: int
    part: Part | Literal[""]
    left_out: str


def check_parts(data: DataSet, table: object) -> None:
    """Raises DataSetError if the column `split` names other parts than `PARTS`."""
    place = data.place("split")
    if place is None:
        return
    for row in data.rows():
        if row.cells[place] not in PARTS:
            raise DataSetError(
                f"{table}, {row.file}: column {SPLIT!r} holds {row.cells[place]!r}; a calibration table has the parts"
                f" {' and '.join(PARTS)}, or no such column"
            )


def divided(data: DataSet, journal: Journal, audited: Iterable[Fingerprint], seed: int) -> list[Calibrating]:
    """All pictures of the table, sorted by file.

    Without a column `split` the pictures that count are divided into halves at random; a picture of an odd number goes
    to the first. Which half a picture is in depends on its content and the seed, and not on its name.

    Args:
        data: The pictures.
        journal: Their records.
        audited: What tells the audited pictures.
        seed: Seed of the division.
    """
    rows = sorted(data.rows(), key=lambda row: row.file)
    prints = [journal.fingerprint(row.file) for row in rows]
    place = data.place("split")
    reasons = _reasons([row.label for row in rows], prints, audited)
    for number, row in enumerate(rows):
        if prints[number] is None:
            reasons[number] = "failed" if journal[row.file].failed else "unreadable"
    counted = [number for number, reason in enumerate(reasons) if not reason]
    if place is None:
        first = set(sorted(counted, key=lambda number: _draw(seed, prints[number]))[: -(-len(counted) // 2)])
        parts = {number: PARTS[number not in first] for number in counted}
    else:
        parts = {number: cast(Part, rows[number].cells[place]) for number in counted}
    return [
        Calibrating(row.file, row.label, parts.get(number, ""), reason)
        for number, (row, reason) in enumerate(zip(rows, reasons, strict=True))
    ]


def left_out(pictures: Sequence[Calibrating]) -> dict[str, int]:
    """The number of pictures that are left out, for each of `REASONS`."""
    numbers = Counter(picture.left_out for picture in pictures)
    return {reason: numbers[reason] for reason in REASONS}


def _draw(seed: int, known: Fingerprint | None) -> bytes:
    return hashlib.sha256(f"{seed}:{known and known.sha256}".encode()).digest()


def _reasons(labels: Sequence[int], prints: Sequence[Fingerprint | None], audited: Iterable[Fingerprint]) -> list[str]:
    """Why each picture is left out, apart from those that were not measured; "" for one that counts."""
    known = {number: each for number, each in enumerate(prints) if each is not None}
    digests, hashes = ([getattr(each, name) for each in known.values()] for name in Fingerprint._fields)
    groups = dict(zip(known, grouped(digests, hashes).tolist(), strict=True))
    classes: dict[str, set[int]] = defaultdict(set)
    for number, each in known.items():
        classes[each.sha256].add(labels[number])
    alike = _Alike(known)
    # A near-duplicate of a picture that resembles an audited one resembles it too.
    touched = {groups[number] for each in audited for number in alike.of(each)}
    reasons, seen = [""] * len(prints), set[int]()
    for number, each in known.items():
        if len(classes[each.sha256]) > 1:
            reasons[number] = "contradictory"
        elif groups[number] in touched:
            reasons[number] = "audited"
        elif groups[number] in seen:
            reasons[number] = "copy"
        else:
            seen.add(groups[number])
    return reasons


class _Alike:
    """Finds pictures by what tells copies and near-duplicates of them.

    Args:
        known: The pictures, by number.
    """

    def __init__(self, known: dict[int, Fingerprint]) -> None:
        self._hashes = {number: int(each.perceptual_hash, 16) for number, each in known.items()}
        self._same: dict[str, list[int]] = defaultdict(list)
        self._parts: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, each in known.items():
            self._same[each.sha256].append(number)
            for part in _parts(self._hashes[number]):
                self._parts[part].append(number)

    def of(self, other: Fingerprint) -> Iterator[int]:
        """The numbers of the pictures that are like another one; a number may come more than once."""
        yield from self._same.get(other.sha256, ())
        hash_ = int(other.perceptual_hash, 16)
        for part in _parts(hash_):
            for number in self._parts.get(part, ()):
                if (self._hashes[number] ^ hash_).bit_count() <= NEAR:
                    yield number


def _parts(hash_: int) -> Iterator[tuple[int, int]]:
    for part in range(_HASH_PARTS):
        yield part, hash_ >> part * _PART_BITS & (1 << _PART_BITS) - 1
