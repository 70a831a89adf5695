"""Measurements with planted effects: the truth is known, and the statistics are given what an audit would measure."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from whybox_server.audits.criticism.find import find
from whybox_server.audits.criticism.findings import Flag
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Measurements, Texts

LABELS = ["cat", "dog", "owl"]


def measured(
    distances: npt.ArrayLike,
    attributes: Mapping[str, npt.ArrayLike],
    *,
    labels: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
    radii: npt.ArrayLike | None = None,
    reasons: npt.ArrayLike | None = None,
    other_norms: Mapping[str, npt.ArrayLike] | None = None,
    confounders: Mapping[str, npt.ArrayLike] | None = None,
    split: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
) -> Measurements:
    """Pictures of class 0, or of `labels`, whose answer is wrong where the distance is 0."""
    values = np.asarray(distances, dtype=np.float64)
    number = len(values)
    classes = np.zeros(number, dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
    by_norm = {"linf": values, **{n: np.array(d, dtype=np.float64) for n, d in (other_norms or {}).items()}}
    searched = np.where(np.isinf(values), 1.0, values) if radii is None else np.array(radii, dtype=np.float64)
    doubtful = np.zeros(number, dtype=bool) if reasons is None else np.array(reasons, dtype=bool)
    return Measurements(
        files=tuple(f"{row}.png" for row in range(number)),
        labels=classes,
        predicted=np.where(values > 0, classes, (classes + 1) % len(LABELS)),
        confidence=np.full(number, np.nan) if confidence is None else np.array(confidence, dtype=np.float64),
        distances=by_norm,
        searched_radius={norm: np.where(values > 0, searched, np.nan) for norm in by_norm},
        reasons=dict.fromkeys(by_norm, doubtful),
        attributes={name: texts(column) for name, column in attributes.items()},
        confounders={name: texts(column) for name, column in (confounders or {}).items()},
        split=None if split is None else texts(split),
        groups=np.arange(number) if groups is None else np.array(groups, dtype=np.int64),
    )


def texts(values: npt.ArrayLike) -> Texts:
    """Values as the table has them."""
    return np.array([str(value) for value in np.asarray(values).tolist()], dtype=np.str_)


def flags(measurements: Measurements, options: CriticismOptions | None = None) -> dict[str, Flag]:
    """The flags by kind, if there is one question alone."""
    found = find(measurements, LABELS, options)
    assert len({(flag.class_index, flag.attribute, flag.value) for flag in found.flags}) == 1
    return {flag.kind: flag for flag in found.flags}


def distance_flag(measurements: Measurements, options: CriticismOptions | None = None) -> Flag:
    """The flag of the distances, if there is one question alone."""
    return flags(measurements, options)["adversarial_criticism"]


def shifted(n_with: int, n_without: int, delta: float, generator: np.random.Generator) -> tuple[list[float], list[int]]:
    """Distances of two groups of exponential distributions with Cliff's delta `delta`, and which group each is of."""
    # P(X > Y) = a / (a + b) for means a and b.
    ratio = (1 + delta) / (1 - delta)
    ours, theirs = generator.exponential(ratio, n_with), generator.exponential(1.0, n_without)
    return [*ours, *theirs], [1] * n_with + [0] * n_without
