"""From the journal to what reports are made of: a row for each picture that counts, and the pictures that do not."""

import math
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from whybox_server.audits.criticism.pictures import Floats, Integers, Measurements, Texts
from whybox_server.audits.data.columns import Column, Role
from whybox_server.audits.data.dataset import DataSet, Row
from whybox_server.audits.duplicates import Copies
from whybox_server.audits.journal import INTRINSIC, Journal, Outcome, Record

# The least size of a change, for a picture that lies exactly on the boundary: only a wrong answer is at distance 0.
_LEAST = float(np.nextafter(0.0, 1.0))
_HALVES = ("low", "high")
_USED = ("attribute", "confounder", "split")


class Audited(NamedTuple):
    """A measured picture.

    Attributes:
        row: What the data set says.
        record: What was measured.
        group: Near-duplicates of a class have the same number, from 0.
        counted: Whether the picture counts; False for a copy of another file.
    """

    row: Row
    record: Record
    group: int
    counted: bool


@dataclass(frozen=True)
class Faults:
    """The pictures that were not measured, each with `file` and `error`.

    Attributes:
        unreadable: Those that cannot be decoded.
        failed: Those on which the network or the attack failed; another run tries them again.
    """

    unreadable: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)


def audited(data: DataSet, journal: Journal, copies: Copies) -> Iterator[Audited]:
    """The measured pictures, sorted by file, one at a time."""
    for row in data.rows():
        record = journal[row.file]
        if record.measured:
            yield Audited(row, record, copies.group(row.file), copies.counted(row.file))


def faults(data: DataSet, journal: Journal) -> Faults:
    """The pictures that were not measured, sorted by file."""
    found = Faults()
    for picture in data.pictures():
        if journal.fingerprint(picture.file) is None:
            record = journal[picture.file]
            kind = found.failed if record.failed else found.unreadable
            kind.append({"file": record.file, "error": record.error})
    return found


def counts(data: DataSet, copies: Copies, missing: Faults) -> dict[str, Any]:
    """What the data set holds, in numbers."""
    pictures = len(data)
    measured = pictures - len(missing.unreadable) - len(missing.failed)
    return {
        "folder": None if data.folder is None else str(data.folder),
        "pictures": pictures,
        "measured": measured,
        "counted": measured - copies.same,
        "same": copies.same,
        "near": copies.near,
        "contradictory": copies.contradictory,
        "not_of_the_model": data.not_of_the_model,
        "left_out": data.left_out,
        "unlabelled": data.unlabelled,
    }


def left_out(numbers: Mapping[str, Any], missing: Faults, report: str) -> list[str]:
    """The pictures that the numbers of a report leave out, in words.

    Args:
        numbers: From `counts`.
        missing: The pictures that were not measured.
        report: Name of the file that lists them.
    """
    again = "the same command tries them again"
    said = {
        f"pictures that cannot be decoded (listed in {report})": len(missing.unreadable),
        f"pictures on which the attack failed (listed in {report}; {again})": len(missing.failed),
        "files that are the same as another one of their class, counted once": numbers["same"],
        "files that are the same as one of another class: one of their labels is wrong": numbers["contradictory"],
        "near-duplicates, kept together in splits": numbers["near"],
        "pictures that do not meet --where": numbers["left_out"],
        "pictures that show no class of the model": numbers["not_of_the_model"],
        "pictures without a label": numbers["unlabelled"],
    }
    return [f"{what}: {number}" for what, number in said.items() if number]


def collect(data: DataSet, journal: Journal, copies: Copies, norms: Sequence[str]) -> Measurements:
    """The pictures that count, as arrays: a few numbers and texts for each, but neither embeddings nor pictures.

    Args:
        data: The pictures, with their columns.
        journal: Their records.
        copies: Tells those that do not count.
        norms: The norms of the attack; empty for predictions without one.
    """
    used = [place for place, column in enumerate(data.columns) if column.role in _USED and _told(column)]
    kept = _Arrays(norms, used)
    for picture in audited(data, journal, copies):
        if picture.counted:
            kept.add(picture)
    labels = np.array(kept.labels, dtype=np.int64)

    def of_role(role: Role, also: Sequence[str]) -> dict[str, Texts]:
        columns = {data.columns[place].name: kept.texts(place) for place in used if data.columns[place].role == role}
        return columns | {name: halves(np.array(kept.covariates[name]), labels) for name in also}

    split = data.place("split")
    return Measurements(
        files=tuple(kept.files),
        labels=labels,
        predicted=np.array(kept.predicted, dtype=np.int64),
        confidence=np.array(kept.confidence),
        distances={norm: np.array(values) for norm, values in kept.distances.items()},
        searched_radius={norm: np.array(values) for norm, values in kept.searched_radius.items()},
        reasons={norm: np.array(values, dtype=np.bool_) for norm, values in kept.reasons.items()},
        attributes=of_role("attribute", data.intrinsic_attributes),
        confounders=of_role("confounder", data.intrinsic_confounders),
        split=None if split is None else kept.texts(split),
        groups=np.array(kept.groups, dtype=np.int64),
    )


class _Arrays:
    """The rows of `Measurements` while they grow.

    Args:
        norms: The norms of the attack.
        used: Places of the columns whose cells are kept.
    """

    def __init__(self, norms: Sequence[str], used: Sequence[int]) -> None:
        self.files: list[str] = []
        self.labels, self.predicted, self.groups = array("q"), array("q"), array("q")
        self.confidence = array("d")
        self.distances = {norm: array("d") for norm in norms}
        self.searched_radius = {norm: array("d") for norm in norms}
        self.reasons = {norm: array("b") for norm in norms}
        self.covariates = {name: array("d") for name in INTRINSIC}
        self._cells: dict[int, list[str]] = {place: [] for place in used}

    def add(self, picture: Audited) -> None:
        """Adds a row."""
        row, record = picture.row, picture.record
        self.files.append(row.file)
        self.labels.append(row.label)
        self.predicted.append(-1 if record.predicted is None else record.predicted)
        self.groups.append(picture.group)
        self.confidence.append(math.nan if record.confidence is None else record.confidence)
        for norm in self.distances:
            outcome = record.norms.get(norm)
            self.distances[norm].append(0.0 if outcome is None else _distance(outcome))
            self.searched_radius[norm].append(math.nan if outcome is None else outcome.searched_radius)
            self.reasons[norm].append(outcome is not None and bool(outcome.reasons))
        for name, values in self.covariates.items():
            values.append(record.covariates.get(name, math.nan))
        for place, cells in self._cells.items():
            # Values repeat; each is in memory once.
            cells.append(sys.intern(row.cells[place]))

    def texts(self, place: int) -> Texts:
        """[N], the cells of a column."""
        return np.array(self._cells[place], dtype=np.str_)


def _told(column: Column) -> bool:
    """Whether the statistics are given a column: an attribute that cannot be tested is reported with its reason."""
    return column.role != "attribute" or not column.reason


def halves(values: Floats, labels: Integers) -> Texts:
    """[N], "low" for the values up to the median of their class, and "high" for those above it.

    Args:
        values: [N].
        labels: [N], the class of each.
    """
    high = np.zeros(len(values), dtype=np.int64)
    for label in np.unique(labels):
        rows = labels == label
        high[rows] = values[rows] > np.median(values[rows])
    return np.array(_HALVES)[high]


def _distance(outcome: Outcome) -> float:
    return np.inf if outcome.distance is None else max(outcome.distance, _LEAST)
