"""The report of robust accuracy as JSON."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whybox_server.audits.passes.tally import Faults
from whybox_server.audits.robust_accuracy.summary import (
    SMALL,
    Curve,
    NormSummary,
    Summary,
)
from whybox_server.audits.statistics import CONFIDENCE, RESAMPLES, Estimate

MEANING = (
    "empirical robust accuracy: an upper bound. The attack finds upper bounds on distances; smaller changes that it did"
    " not find may exist. The true robust accuracy is at most the value given here"
)
_NOTES = {
    "unreadable": "pictures that cannot be decoded; no number includes them",
    "same": "files with the bytes of another file of the class, which counts for them",
    "near": "pictures that are near-duplicates of another one of the class by their perceptual hashes; they count",
    "contradictory": "files with the bytes of a file of another class; they count",
    "failed": "pictures on which the network or the attack failed; no number includes them. The same command tries them"
    " again. audit.sqlite has the tracebacks",
    "radius": "size of the change in the norm, for values in [0, 1]",
    "accuracy": "share of pictures that are predicted correctly and for which no change up to the radius was found that"
    " makes the prediction wrong; with Wilson's interval at each radius",
    "customary": "the curve at the radii that papers use; for linf 1, 2, 4 and 8 grey levels of 255",
    "unsearched": "share of pictures that count as robust at a radius although the attack tried no change of that size",
    "median": "median distance of the correctly predicted pictures, with a percentile bootstrap interval; null: no"
    " bound was found",
    "censored": "number of correctly predicted pictures for which no change was found that makes the prediction wrong",
    "unreliable": "number of pictures whose distance should not be relied on; audit.parquet has the reasons",
    "small": f"true if the class has fewer than {SMALL} pictures: its numbers say little",
}


def write_report(
    path: Path,
    settings: Mapping[str, Any],
    data: Mapping[str, Any],
    faults: Faults,
    labels: Sequence[str],
    whole: Summary,
    classes: Mapping[int, Summary],
) -> None:
    """Writes all numbers as JSON; the same records give the same bytes.

    Args:
        path: The file to write.
        settings: Everything that the records depend on, apart from the pictures.
        data: What the data set holds; see `counts`.
        faults: The pictures that were not measured.
        labels: Labels of the model's classes, in the order of the indices.
        whole: The summary of all measured pictures.
        classes: The summary of each class, by its index.
    """
    report = {
        "measure": MEANING,
        "notes": _NOTES,
        "settings": dict(settings),
        "data": {**data, "unreadable": faults.unreadable, "failed": faults.failed},
        "confidence": CONFIDENCE,
        "bootstrap_resamples": RESAMPLES,
        **_summary(whole),
        "classes": [
            {"index": index, "label": labels[index], "small": summary.small, **_summary(summary)}
            for index, summary in classes.items()
        ],
    }
    path.write_text(_compact(json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "n": summary.pictures,
        "right": summary.right,
        "accuracy": _estimate(summary.accuracy),
        "norms": {name: _norm(norm) for name, norm in summary.norms.items()},
    }


def _norm(norm: NormSummary) -> dict[str, Any]:
    return {
        "median": None if norm.median is None else _estimate(norm.median),
        "censored": norm.censored,
        "unreliable": norm.unreliable,
        "customary": _curve(norm.customary),
        "curve": _curve(norm.curve),
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: end if math.isfinite(end) else None for name, end in ends.items()}


def _curve(curve: Curve) -> dict[str, list[float]]:
    columns = {
        "radius": curve.radius,
        "accuracy": curve.accuracy,
        "low": curve.low,
        "high": curve.high,
        "unsearched": curve.unsearched,
    }
    # Six digits are more than the measurement supports, and they keep the file short.
    return {name: [float(f"{value:.6g}") for value in column] for name, column in columns.items()}


def _compact(text: str) -> str:
    """The JSON text with each array of numbers on one line."""
    return re.sub(r"\[\s+([-+.,\deE\s]+?)\s+\]", lambda match: f"[{' '.join(match[1].split())}]", text)
