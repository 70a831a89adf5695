"""The calibration of an audit: from a table to thresholds, their coverage, and a file with a row for each picture."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from rich.console import Console

from whybox.v1.vocabulary import SET_METHODS
from whybox_server.audits.calibration.coverage import CONFIDENCE, Coverage, chance
from whybox_server.audits.calibration.pictures import PARTS, Calibrating, check_parts, divided, left_out
from whybox_server.audits.calibration.scoring import scores_of, set_sizes, threshold
from whybox_server.audits.data.dataset import DataSet
from whybox_server.audits.passes.journal import Fingerprint, Journal
from whybox_server.audits.passes.pictures import digest_of
from whybox_server.audits.passes.run import PassOptions, Predicted, predicted

SCORES = "calibration.parquet"
"""Name of the table of the calibration pictures in the folder of the results."""

MIN_PICTURES = 100
"""The fewest usable pictures of a calibration."""

MIN_CLASS = 20
"""The fewest test pictures of a class whose coverage is reported."""

ALPHAS = (0.05, 0.1, 0.2)
"""Levels whose coverage is reported; a request may ask for others."""


@dataclass(frozen=True)
class Calibrated:
    """A finished calibration.

    Attributes:
        entries: What the manifest says of it, as JSON values.
        sha256: Digest of the file `SCORES`.
    """

    entries: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class _Answer:
    """What is kept of the record of a picture, without its logits; see `Record`.

    Attributes:
        scores: The score of the right class by each method; empty for a picture that is left out.
    """

    sha256: str
    predicted: int | None
    confidence: float | None
    scores: Mapping[str, float]

    @classmethod
    def of(cls, journal: Journal, picture: Calibrating) -> Self:
        record = journal[picture.file]
        scores = scores_of(record.logits, picture.label) if picture.part else {}
        return cls(record.sha256, record.predicted, record.confidence, scores)


@contextmanager
def calibrating(asked: PassOptions | None, prefix: str, err: Console) -> Generator[Predicted | None]:
    """Predicts the pictures of the table; None without one.

    Raises:
        DataSetError: Also if the table has other parts than `PARTS`.
        Exception: As `predicted`.
    """
    if asked is None or asked.calibration is None:
        yield None
        return
    with predicted(asked, asked.calibration, prefix, err) as done:
        check_parts(done.data, asked.calibration)
        yield done


def calibrate(done: Predicted, table: Path, data: DataSet, journal: Journal, seed: int) -> Calibrated:
    """Divides the pictures, computes thresholds and measures their coverage.

    Args:
        done: The predicted pictures.
        table: Their table.
        data: The audited pictures, which are left out.
        journal: Their records.
        seed: Seed of the division into halves.
    """
    pictures = divided(done.data, done.journal, _fingerprints(data, journal), seed)
    answers = [_Answer.of(done.journal, each) for each in pictures]
    scores = {method: np.array([each.scores.get(method, np.nan) for each in answers]) for method in SET_METHODS}
    first, second = ([number for number, each in enumerate(pictures) if each.part == part] for part in PARTS)
    entries: dict[str, Any] = {
        "state": "ok",
        "message": "",
        "data_set": table.stem,
        "pictures": len(pictures),
        "usable": len(first) + len(second),
        "n": len(first),
        "coverage_n": len(second),
        "not_of_the_model": done.data.not_of_the_model,
        "left_out": left_out(pictures),
        "division": "seeded halves" if done.data.place("split") is None else "column split",
        "methods": list(SET_METHODS),
        "confidence": CONFIDENCE,
        "min_class": MIN_CLASS,
        "sets": [],
    }
    sizes: dict[tuple[str, float], list[int | None]] = {}
    if why := _objection(entries):
        entries |= {"state": "insufficient_data", "message": why, "methods": []}
    else:
        thresholds = {
            (method, alpha): threshold(scores[method][first], alpha) for method in SET_METHODS for alpha in ALPHAS
        }
        sizes = _sizes(pictures, done.journal, thresholds)
        labels = np.array([each.label for each in pictures])
        top = np.array([answer.predicted == each.label for answer, each in zip(answers, pictures, strict=True)])
        for (method, alpha), limit in thresholds.items():
            covered = top | (scores[method] <= limit)
            entries["sets"].append(
                {
                    "method": method,
                    "alpha": alpha,
                    "threshold": limit if math.isfinite(limit) else None,
                    **_coverage(second, covered).to_entries(),
                    "p_value": chance(int(covered[second].sum()), len(second), len(first), alpha),
                    **_size_entries([sizes[method, alpha][number] for number in second]),
                    "by_class": _by_class(second, labels, covered, done.labels),
                }
            )
    path = done.save / SCORES
    _write(path, pictures, answers, scores, sizes)
    return Calibrated(entries, digest_of(path))


def _fingerprints(data: DataSet, journal: Journal) -> Generator[Fingerprint]:
    for picture in data.pictures():
        if (known := journal.fingerprint(picture.file)) is not None:
            yield known


def _objection(entries: dict[str, Any]) -> str:
    """Why there is too little to calibrate with; "" if there is enough."""
    numbers = ", ".join(f"{number} {reason}" for reason, number in entries["left_out"].items() if number)
    left = f" (left out: {numbers})" if numbers else ""
    if entries["usable"] < MIN_PICTURES:
        found = f"{entries['usable']} of {entries['pictures']} calibration pictures are usable{left}"
        return f"{found}; prediction sets need at least {MIN_PICTURES}"
    if not (entries["n"] and entries["coverage_n"]):
        return f"the column split names one part; prediction sets need both {' and '.join(PARTS)}{left}"
    return ""


def _sizes(
    pictures: Sequence[Calibrating], journal: Journal, thresholds: dict[tuple[str, float], float]
) -> dict[tuple[str, float], list[int | None]]:
    """The size of the set of each test picture, by method and alpha; None for other pictures."""
    sizes: dict[tuple[str, float], list[int | None]] = {key: [] for key in thresholds}
    for each in pictures:
        found = set_sizes(journal[each.file].logits, thresholds) if each.part == PARTS[1] else {}
        for key, column in sizes.items():
            column.append(found.get(key))
    return sizes


def _coverage(rows: Sequence[int], covered: np.typing.NDArray[np.bool_]) -> Coverage:
    return Coverage.of(int(covered[list(rows)].sum()), len(rows))


def _size_entries(sizes: Sequence[int | None]) -> dict[str, float]:
    counted = np.array(sizes, dtype=np.int64)
    return {
        "mean_size": float(counted.mean()),
        "median_size": float(np.median(counted)),
        "largest_size": int(counted.max()),
    }


def _by_class(
    rows: Sequence[int], labels: np.typing.NDArray[np.int64], covered: np.typing.NDArray[np.bool_], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The coverage of each class that has at least `MIN_CLASS` test pictures."""
    found = []
    for label in np.unique(labels[list(rows)]).tolist():
        of_class = [number for number in rows if labels[number] == label]
        if len(of_class) >= MIN_CLASS:
            coverage = _coverage(of_class, covered)
            found.append({"class_index": label, "class_label": names[label], **coverage.to_entries()})
    return found


def _write(
    path: Path,
    pictures: Sequence[Calibrating],
    answers: Sequence[_Answer],
    scores: dict[str, np.typing.NDArray[np.float64]],
    sizes: dict[tuple[str, float], list[int | None]],
) -> None:
    """Writes a row for each picture, sorted by file; the same predictions give the same bytes.

    `part` and `left_out` are as in `Calibrating`. The columns of the methods hold the score of the right class,
    null for a picture that is left out; METHOD.size.ALPHA holds the size of the set of a test picture.
    """
    columns: dict[str, pa.Array] = {
        "file": pa.array([each.file for each in pictures], pa.string()),
        "sha256": pa.array([answer.sha256 for answer in answers], pa.string()),
        "label": pa.array([each.label for each in pictures], pa.int32()),
        "predicted": pa.array([answer.predicted for answer in answers], pa.int32()),
        "confidence": pa.array([answer.confidence for answer in answers], pa.float64()),
        "part": pa.array([each.part for each in pictures], pa.string()),
        "left_out": pa.array([each.left_out for each in pictures], pa.string()),
    }
    for method, values in scores.items():
        columns[method] = pa.array(values, pa.float64(), from_pandas=True)
    for (method, alpha), counted in sizes.items():
        columns[f"{method}.size.{alpha:g}"] = pa.array(counted, pa.int32())
    part = path.with_name(f"{path.name}.part")
    parquet.write_table(pa.table(columns), part)
    part.replace(path)
