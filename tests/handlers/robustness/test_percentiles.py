"""The percentile of a distance: among which pictures, how sure, and when there is none."""

import math
from typing import Any

import pytest
from scipy.stats import binomtest
from torch import nn

from architectures import classifier_of, network_of
from messages import message
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.robustness.percentiles import add_percentile

DISTANCES = [0.1, 0.2, 0.2, 0.3, math.inf]
AUDIT = {"id": "a1", "attack": "fmn", "norms": ["linf", "l2"], "budget": 6}


def classifier(audit: dict[str, Any] | None, trained_on: int = 0) -> Classifier:
    bare = classifier_of(network_of(nn.Flatten(1)))
    references = [
        v1.ReferenceDistances(norm="l2", distances=[9.0]),
        v1.ReferenceDistances(norm="linf", distances=DISTANCES),
    ]
    classes = [
        v1.AuditedClass(class_index=0, distances=references, trained_on=trained_on),
        v1.AuditedClass(class_index=1, distances=[v1.ReferenceDistances(norm="linf")]),
    ]
    model = v1.Model() if audit is None else message(v1.Model, audit=audit)
    bank = None if audit is None else v1.Bank(classes=classes)
    return Classifier(model, bare.network, bare.serving, bare.device, bank=bank)


def distance(size: float | None = 0.25, **fields: Any) -> v1.Distance:
    found = message(v1.Distance, **{"norm": "linf", "attack": "fmn", "predicted_class": {"label": "cat"}, **fields})
    if size is not None:
        found.distance = size
    return found


@pytest.mark.parametrize(
    ("size", "easier"), [(0.0, 0), (0.1, 0), (0.15, 1), (0.2, 1), (0.25, 3), (0.3, 3), (0.31, 4), (9.0, 4)]
)
def test_the_share_of_easier_pictures(size: float, easier: int) -> None:
    measured = distance(size)
    add_percentile(measured, classifier(AUDIT), v1.RobustnessOptions(budget="6"))
    assert (measured.percentile, measured.percentile_n, measured.percentile_note) == (20 * easier, 5, "")
    interval = binomtest(easier, 5).proportion_ci(0.95, method="wilson")
    assert measured.percentile_ci_low == pytest.approx(100 * interval.low)
    assert measured.percentile_ci_high == pytest.approx(100 * interval.high)
    assert measured.percentile_ci_low <= measured.percentile <= measured.percentile_ci_high


def test_pictures_of_another_norm_do_not_count() -> None:
    measured = distance(norm="l2")
    add_percentile(measured, classifier(AUDIT), v1.RobustnessOptions(budget="6"))
    assert (measured.percentile, measured.percentile_n) == (0, 1)


def test_a_bank_of_training_pictures_says_so() -> None:
    measured = distance()
    add_percentile(measured, classifier(AUDIT, trained_on=2), v1.RobustnessOptions(budget="6"))
    assert measured.percentile == 60
    assert "the model was trained on 2 of the 5 audited pictures of audit a1" in measured.percentile_note


@pytest.mark.parametrize(
    ("audit", "measured", "budget", "words"),
    [
        (None, distance(), "6", "packed without an audit"),
        (AUDIT, distance(attack="ddn"), "6", "attacked with fmn, not ddn"),
        (AUDIT | {"norms": ["l2"]}, distance(), "6", "audit a1 measured in l2, not in linf"),
        (AUDIT, distance(), "12", "attacked with the budget 6, not 12"),
        (AUDIT, distance(stopped_by="deadline"), "deadline", "attacked with the budget 6, not deadline"),
        (AUDIT, distance(stopped_by="deadline"), "6", "the deadline ended the search before its budget was spent"),
        (AUDIT, distance(None), "6", "no flip was found"),
        (
            AUDIT,
            distance(predicted_class={"index": 1, "label": "dog"}),
            "6",
            "no correctly classified picture of class 'dog'",
        ),
        (
            AUDIT,
            distance(predicted_class={"index": 2, "label": "cow"}),
            "6",
            "no correctly classified picture of class 'cow'",
        ),
        (AUDIT | {"differences": ["weights"]}, distance(), "6", "a version of the model with other weights"),
    ],
)
def test_without_a_percentile_there_is_a_reason(
    audit: dict[str, Any] | None, measured: v1.Distance, budget: str, words: str
) -> None:
    add_percentile(measured, classifier(audit), v1.RobustnessOptions(budget=budget))
    assert words in measured.percentile_note
    for field in ("percentile", "percentile_n", "percentile_ci_low", "percentile_ci_high"):
        assert not measured.HasField(field)
