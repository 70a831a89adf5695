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

ANSWER, MARGIN, MARGIN_SIZE, DISTANCE = "answer", "margin", "margin_size", "distance"
"""What is compared."""


def shifts(
    pictures: Sequence[Planned], originals: Mapping[str, Record], records: Mapping[str, Record], norm: str, seed: int
) -> Iterator[Shift]:
    """The changes of answer, margin and distance; without `FLOOR` distances there is none of the distance.

    Args:
        pictures: At least `FLOOR` pictures; all their records are measured.
        originals: By file, the record of the whole picture.
        records: By key, the record of each changed picture.
        norm: The norm of the distances.
        seed: Seed of the bootstrap.
    """
    answers, margins, sizes, distances = [], [], [], []
    for picture in pictures:
        original, box = originals[picture.file], records[picture.box.key]
        random = [records[each.key] for each in picture.random]
        changed, *others = (float(each.predicted != original.predicted) for each in (box, *random))
        answers.append((changed, np.mean(others)))
        moved, *others = (_margin(each) - _margin(original) for each in (box, *random))
        margins.append((moved, np.mean(others)))
        # Up and down must not cancel out among the random regions.
        sizes.append((abs(moved), np.mean(np.abs(others))))
        if original.right:
            moved, *others = (_distance(each, norm) - _distance(original, norm) for each in (box, *random))
            if np.isfinite([moved, *others]).all():
                distances.append((moved, np.mean(others)))
    yield _shift(ANSWER, "share of the pictures", np.array(answers), seed)
    yield _shift(MARGIN, "logits", np.array(margins), seed)
    yield _shift(MARGIN_SIZE, "logits", np.array(sizes), seed)
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
