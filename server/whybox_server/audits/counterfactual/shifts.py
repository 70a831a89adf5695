"""How much more answers change without their boxes than without random regions."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import bootstrap

from whybox_server.audits.counterfactual.plan import Planned
from whybox_server.audits.criticism.findings import Shift
from whybox_server.audits.criticism.options import FLOOR
from whybox_server.audits.criticism.pictures import Floats
from whybox_server.audits.passes.journal import Record
from whybox_server.audits.statistics import CONFIDENCE, RESAMPLES

ANSWER, MARGIN, DISTANCE = "answer", "margin", "distance"
"""What is compared."""


def shifts(
    pictures: Sequence[Planned], originals: Mapping[str, Record], records: Mapping[str, Record], norm: str, seed: int
) -> Iterator[Shift]:
    """The changes of answer, margin and distance.

    Args:
        pictures: At least `FLOOR` pictures; all their records are measured.
        originals: By file, the record of the whole picture.
        records: By key, the record of each changed picture.
        norm: The norm of the distances.
        seed: Seed of the bootstrap.
    """
    answers, margins, distances = [], [], []
    for picture in pictures:
        original = originals[picture.file]
        box, random = records[picture.box.key], [records[each.key] for each in picture.random]
        others = [each.predicted != original.predicted for each in random]
        answers.append((box.predicted != original.predicted, np.mean(others)))
        margins.append(
            (_margin(box) - _margin(original), np.mean([_margin(each) for each in random]) - _margin(original))
        )
        if original.right:
            before, without, beside = (
                _distance(original, norm),
                _distance(box, norm),
                [_distance(each, norm) for each in random],
            )
            if all(map(math.isfinite, (before, without, *beside))):
                distances.append((without - before, np.mean(beside) - before))
    yield _shift(ANSWER, "share of the pictures", np.array(answers, dtype=np.float64), seed)
    yield _shift(MARGIN, "logits", np.array(margins), seed)
    if len(distances) >= FLOOR:
        yield _shift(DISTANCE, f"distance in {norm}", np.array(distances), seed)


def _shift(what: str, unit: str, pairs: Floats, seed: int) -> Shift:
    """The mean changes, [N, 2], without the boxes and without random regions.

    The interval is the percentile bootstrap of the pictures' differences: a picture keeps both of its changes.
    """
    box, random = pairs.mean(axis=0)
    differences = pairs[:, 0] - pairs[:, 1]
    interval = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Shift(
        what,
        unit,
        len(pairs),
        float(box),
        float(random),
        float(differences.mean()),
        float(interval.low),
        float(interval.high),
    )


def _margin(record: Record) -> float:
    if record.margin is None:
        raise ValueError(f"the record of {record.file} has no margin")
    return record.margin


def _distance(record: Record, norm: str) -> float:
    """0 where the answer is wrong, infinite where no change was found."""
    if not record.right:
        return 0.0
    distance = record.norms[norm].distance
    return math.inf if distance is None else distance
