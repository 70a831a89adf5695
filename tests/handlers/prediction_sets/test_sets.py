"""The prediction set of an answer: its states, its classes and its words."""

import numpy as np
import pytest
import torch
from torch import nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.prediction_sets.sets import prediction_set

LABELS = ["cat", "dog", "cow", "owl"]
SHARES = (0.1, 0.6, 0.25, 0.05)
N, TESTED = 100, 50
# Of 100 pictures the score with rank r is r / 100; sets with the threshold of rank r have the right class r // 2 times.
THRESHOLDS = [
    v1.SetThresholds(
        method=method,
        thresholds=[rank / 100 for rank in range(1, N + 1)],
        covered=[rank // 2 for rank in range(1, N + 1)],
    )
    for method in ("aps", "lac")
]
CALIBRATION = v1.Calibration(
    state="ok", data_set="pets", pictures=N + TESTED, n=N, coverage_n=TESTED, methods=["aps", "lac"]
)
AUDIT = v1.Audit(id="a1", calibration=CALIBRATION)


def asked(
    method: str, alpha: float, audit: v1.Audit | None = AUDIT, shares: tuple[float, ...] = SHARES
) -> v1.PredictionSet:
    bare = classifier_of(network_of(nn.Flatten(1)))
    model = v1.Model(name="m", version="2", num_classes=len(LABELS), labels=LABELS, audit=audit)
    known = Classifier(model, bare.network, bare.serving, bare.device, bank=v1.Bank(thresholds=THRESHOLDS))
    subject = Subject(torch.zeros(3, 2, 2), v1.View(), torch.tensor(np.log(shares)).float(), None)
    return prediction_set(known, subject, v1.PredictionOptions(set_method=method, set_alpha=alpha))


@pytest.mark.parametrize(
    ("method", "alpha", "rank", "classes"),
    [
        # The scores are 0.85, 0, 0.6 and 0.95 by APS, 0.9, 0.4, 0.75 and 0.95 by LAC.
        ("aps", 0.1, 91, [1, 2, 0]),
        ("aps", 0.05, 96, [1, 2, 0, 3]),
        ("aps", 0.3, 71, [1, 2]),
        ("aps", 0.5, 51, [1]),
        ("lac", 0.1, 91, [1, 2, 0]),
        ("lac", 0.2, 81, [1, 2]),
        ("lac", 0.02, 99, [1, 2, 0, 3]),
    ],
)
def test_the_classes_of_a_set(method: str, alpha: float, rank: int, classes: list[int]) -> None:
    found = asked(method, alpha)
    assert (found.state, found.method, found.alpha, found.n, found.coverage_n) == ("ok", method, alpha, N, TESTED)
    assert found.threshold == rank / 100
    assert [score.index for score in found.classes] == classes
    assert [score.label for score in found.classes] == [LABELS[index] for index in classes]
    assert [score.probability for score in found.classes] == pytest.approx([SHARES[index] for index in classes])
    assert found.coverage == rank // 2 / TESTED
    assert found.ci_low < found.coverage < found.ci_high
    assert (found.data_set, found.audit_id, found.top_class_added) == ("pets", "a1", False)
    level = f"{100 * (1 - alpha):g}"
    assert found.message.startswith(
        f"If requests resemble data set pets, the set contains the right class in at least {level} % of the cases"
    )
    assert f"It did so for {rank // 2} of {TESTED} other pictures of pets" in found.message


def test_an_alpha_beyond_the_pictures_gives_all_classes() -> None:
    found = asked("aps", 0.009)
    assert [score.index for score in found.classes] == [1, 2, 0, 3]
    assert not found.HasField("threshold")
    assert (found.coverage, found.ci_high, found.top_class_added) == (1, 1, False)
    assert "at least 99.1 % of the cases" in found.message
    assert "The set has all classes, because 100 calibration pictures cannot resolve this alpha" in found.message
    assert "they resolve 0.0099 and more." in found.message


def test_a_coverage_below_the_promise_is_said() -> None:
    # Sets had the right class of 50 of 50 pictures at rank 100, and of 40 at rank 81.
    assert "less than promised" not in asked("aps", 0.01).message
    assert "less than promised" not in asked("aps", 0.2).message
    low = v1.Audit(id="a1", calibration=CALIBRATION)
    low.calibration.coverage_n = 100
    assert "That is less than promised" in asked("aps", 0.2, low).message


@pytest.mark.parametrize(("method", "added"), [("aps", False), ("lac", True)])
def test_a_set_is_never_empty(method: str, added: bool) -> None:
    found = asked(method, 0.5, shares=(0.3, 0.22, 0.24, 0.24))
    assert found.classes[0].index == 0
    assert (len(found.classes) == 1) is added
    assert found.top_class_added is added
    assert ("so the set has the most probable class alone" in found.message) is added


def test_equal_probabilities_are_in_together_or_by_their_order() -> None:
    shares = (0.1, 0.4, 0.4, 0.1)
    assert [score.index for score in asked("lac", 0.4, shares=shares).classes] == [1, 2]
    assert [score.index for score in asked("aps", 0.5, shares=shares).classes] == [1, 2]
    assert [score.index for score in asked("aps", 0.4, shares=(0.05, 0.05, 0.45, 0.45)).classes] == [2, 3]


@pytest.mark.parametrize(
    ("audit", "state", "words"),
    [
        (None, "not_calibrated", "m 2 has no calibration pictures: run whybox-server audit with --calibration TABLE"),
        (v1.Audit(id="a1"), "not_calibrated", "m 2 has no calibration pictures: run whybox-server audit with --calib"),
        (
            v1.Audit(id="a1", calibration=CALIBRATION, differences=["weights"]),
            "stale",
            "There is no set, because audit a1 calibrated a version of the model with other weights: run whybox-",
        ),
        (
            v1.Audit(id="a1", calibration=v1.Calibration(state="insufficient_data", data_set="pets", pictures=99)),
            "insufficient_data",
            "the 99 usable pictures of pets do not suffice for a calibration; audit.json of audit a1 says what is",
        ),
    ],
)
def test_why_there_is_no_set(audit: v1.Audit | None, state: str, words: str) -> None:
    found = asked("lac", 0.1, audit)
    assert (found.state, found.method, found.alpha) == (state, "lac", 0.1)
    assert not found.classes
    assert not any(found.HasField(name) for name in ("n", "coverage", "ci_low", "ci_high", "coverage_n", "threshold"))
    assert found.message.startswith(words)
