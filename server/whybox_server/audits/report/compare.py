"""Two audits of the same pictures side by side: paired changes of accuracy, of distances and of flags."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from whybox_server.audits.criticism.pictures import Floats
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.measurements import PictureTable
from whybox_server.audits.passes.pictures import PICTURES, read_column
from whybox_server.audits.report.manifest import read_manifest
from whybox_server.audits.statistics import BLOCK, CONFIDENCE, RESAMPLES, Estimate


@dataclass(frozen=True)
class Change:
    """How a measure of the same pictures changed, the second audit's against the first's.

    Attributes:
        measure: "accuracy", or "distance in NORM".
        n: Number of pictures that both audits measured; for a distance, those for which both found one.
        first: The measure in the first audit: a share, or a median distance.
        second: The measure in the second audit.
        change: The difference of the shares; for distances the median of the ratios second / first of each picture.
        low: Lower end of its 95 % percentile bootstrap interval over pictures.
        high: Upper end.
        p_value: Two-sided p-value of no change: McNemar's exact test, or Wilcoxon's signed-rank test of the logarithms.
    """

    measure: str
    n: int
    first: float
    second: float
    change: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class FlagChange:
    """A question that the audits answer with different states; "" for one that an audit did not ask."""

    kind: str
    class_label: str
    attribute: str
    value: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """Two audits side by side.

    Attributes:
        audits: Their ids.
        pictures: Number of pictures with the same file name and the same bytes in both.
        only_first: Number of pictures of the first audit alone.
        only_second: Number of pictures of the second audit alone.
        changes: Of accuracy, and of the distance in each norm that both measured.
        flags: The flags whose states differ.
    """

    audits: tuple[str, str]
    pictures: int
    only_first: int
    only_second: int
    changes: tuple[Change, ...]
    flags: tuple[FlagChange, ...]

    def to_entries(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def compare(first: Path, second: Path, seed: int = 0) -> Comparison:
    """Compares two audits on the pictures that both measured, and that have the same label in both.

    Args:
        first: Folder of an audit.
        second: Folder of the other.
        seed: Seed of the bootstrap.

    Raises:
        DataSetError: A folder holds no audit, or the audits have no picture in common.
    """
    manifests = read_manifest(first), read_manifest(second)
    tables = PictureTable(first / PICTURES), PictureTable(second / PICTURES)
    keys = _keys(first), _keys(second)
    both = keys[0].keys() & keys[1].keys()
    if not both:
        raise DataSetError(
            f"{first} and {second} have no picture in common: no file has the same name, bytes and label"
        )
    rows = [np.array([rows[key] for key in sorted(both)]) for rows in keys]
    one, other = (table.everything().only(which) for table, which in zip(tables, rows, strict=True))
    changes = [_of_accuracy(one.right.astype(float), other.right.astype(float), seed)]
    for norm in one.distances.keys() & other.distances.keys():
        changes += _of_distances(norm, one.distances[norm], other.distances[norm], seed)
    return Comparison(
        audits=(manifests[0]["audit"], manifests[1]["audit"]),
        pictures=len(both),
        only_first=len(keys[0]) - len(both),
        only_second=len(keys[1]) - len(both),
        changes=tuple(sorted(changes, key=lambda change: change.measure)),
        flags=tuple(_of_flags(*manifests)),
    )


def _keys(folder: Path) -> dict[tuple[str, str | None, str], int]:
    """The row of each picture that counts, by its name, its bytes and its label."""
    columns = [read_column(folder / PICTURES, name) for name in ("file", "sha256", "label_name", "counted")]
    counted = ((file, digest, label) for file, digest, label, counts in zip(*columns, strict=True) if counts)
    return {key: row for row, key in enumerate(counted)}


def _of_accuracy(first: Floats, second: Floats, seed: int) -> Change:
    gained, lost = int((second > first).sum()), int((second < first).sum())
    p_value = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    change = _bootstrapped(second - first, lambda values: values.mean(axis=1), seed)
    return _change("accuracy", len(first), float(first.mean()), float(second.mean()), change, float(p_value))


def _of_distances(norm: str, first: Floats, second: Floats, seed: int) -> Iterator[Change]:
    found = np.isfinite(first) & np.isfinite(second) & (first > 0) & (second > 0)
    one, other = first[found], second[found]
    if not len(one):
        return
    logarithms = np.log(other) - np.log(one)
    p_value = stats.wilcoxon(logarithms).pvalue if logarithms.any() else 1.0
    ratio = _bootstrapped(logarithms, lambda values: np.median(values, axis=1), seed)
    ratio = Estimate(*(float(np.exp(value)) for value in (ratio.value, ratio.low, ratio.high)))
    medians = float(np.median(one)), float(np.median(other))
    yield _change(f"distance in {norm}", len(one), *medians, ratio, float(p_value))


def _change(measure: str, number: int, first: float, second: float, change: Estimate, p_value: float) -> Change:
    return Change(measure, number, first, second, change.value, change.low, change.high, p_value)


def _bootstrapped(values: Floats, statistic: Callable[[Floats], Floats], seed: int) -> Estimate:
    """A statistic of values [N], from [R, N] to [R], with its percentile bootstrap interval."""
    generator = np.random.default_rng(seed)
    number = len(values)
    block = max(BLOCK // number, 1)
    found = np.concatenate(
        [
            statistic(values[generator.integers(number, size=(min(block, RESAMPLES - start), number))])
            for start in range(0, RESAMPLES, block)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Estimate(float(statistic(values[None])[0]), float(low), float(high))


def _of_flags(first: dict[str, Any], second: dict[str, Any]) -> Iterator[FlagChange]:
    one, other = ({_question(flag): flag["state"] for flag in audit["flags"]} for audit in (first, second))
    for question in sorted(one.keys() | other.keys()):
        states = one.get(question, ""), other.get(question, "")
        if states[0] != states[1]:
            yield FlagChange(*question, *states)


def _question(flag: dict[str, Any]) -> tuple[str, str, str, str]:
    return flag["kind"], flag["class_label"], flag["attribute"], flag["value"]
