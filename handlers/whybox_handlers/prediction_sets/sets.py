"""The prediction set of a picture, with its evidence, or the reason why there is none."""

import math

import numpy as np
from scipy.stats import binomtest

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.prediction_sets.scores import (
    SCORES,
    included,
    place_of,
    probabilities,
    ranking,
    threshold_rank,
)


def prediction_set(classifier: Classifier, subject: Subject, options: v1.PredictionOptions) -> v1.PredictionSet:
    """The classes that may be right.

    Args:
        classifier: The model with the thresholds of its audit.
        subject: The picture, looked at.
        options: `set_method` and `set_alpha` are read, with every default filled in.
    """
    audit = classifier.model.audit
    calibration = audit.calibration
    found = v1.PredictionSet(
        method=options.set_method, alpha=options.set_alpha, data_set=calibration.data_set, audit_id=audit.id
    )
    found.state, found.message = _objection(classifier.model, options.set_method)
    if found.state:
        return found
    found.state = "ok"
    found.n, found.coverage_n = calibration.n, calibration.coverage_n
    known = next(each for each in classifier.thresholds if each.method == options.set_method)
    rank = threshold_rank(calibration.n, options.set_alpha)
    threshold, covered = math.inf, calibration.coverage_n
    if rank is not None:
        place = place_of(rank, calibration.n, len(known.thresholds))
        threshold, covered = known.thresholds[place], known.covered[place]
        found.threshold = threshold
    logits = subject.logits.numpy()
    scores, shares = SCORES[options.set_method](logits), probabilities(logits)
    inside = included(scores, threshold, subject.predicted)
    found.top_class_added = bool(scores[subject.predicted] > threshold)
    found.classes.extend(
        v1.ClassScore(index=index, label=classifier.label(index), probability=shares[index])
        for index in map(int, ranking(logits))
        if inside[index]
    )
    interval = binomtest(covered, calibration.coverage_n).proportion_ci(0.95, method="exact")
    found.coverage = covered / calibration.coverage_n
    found.ci_low, found.ci_high = interval.low, interval.high
    found.message = _promise(found, covered)
    return found


def _objection(model: v1.Model, method: str) -> tuple[str, str]:
    """The state of a set that cannot be given, and what helps; empty for one that can."""
    audit, calibration = model.audit, model.audit.calibration
    again = "run whybox-server audit with --calibration TABLE, and pack the model with --bank"
    if not audit.HasField("calibration"):
        return "not_calibrated", f"{model.name} {model.version} has no calibration pictures: {again}."
    if audit.differences:
        other = f"audit {audit.id} calibrated a version of the model with other {' and '.join(audit.differences)}"
        return "stale", f"There is no set, because {other}: {again}."
    if calibration.state == "insufficient_data":
        few = f"the {calibration.pictures} usable pictures of {calibration.data_set} do not suffice"
        return "insufficient_data", f"{few} for a calibration; audit.json of audit {audit.id} says what is needed."
    if method not in calibration.methods:
        return "not_calibrated", f"Audit {audit.id} has no thresholds for {method}: {again}."
    return "", ""


def _promise(found: v1.PredictionSet, covered: int) -> str:
    """What a set promises, and what is special about it."""
    data_set, level = found.data_set, np.format_float_positional(100 * (1 - found.alpha), precision=10, trim="-")
    words = [
        f"If requests resemble data set {data_set}, the set contains the right class in at least {level} % of the"
        " cases, on average over such requests and not for each class or picture.",
        f"It did so for {covered} of {found.coverage_n} other pictures of {data_set} ({100 * found.coverage:.1f} %,"
        f" 95 % interval {100 * found.ci_low:.1f} % to {100 * found.ci_high:.1f} %).",
    ]
    if found.ci_high < 1 - found.alpha:
        words.append(
            "That is less than promised: these calibration pictures are an unlucky draw, or the other pictures do not"
            " resemble them."
        )
    if not found.HasField("threshold"):
        words.append(
            f"The set has all classes, because {found.n} calibration pictures cannot resolve this alpha; they resolve"
            f" {1 / (found.n + 1):.3g} and more."
        )
    if found.top_class_added:
        words.append(
            f"No class is as plausible as the right ones of {data_set} mostly are, so the set has the most probable"
            " class alone."
        )
    return " ".join(words)
