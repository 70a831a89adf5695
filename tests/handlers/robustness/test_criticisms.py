"""Criticism-like answers: which distance is that of the easiest tenth, how often it is met, and when there is none."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from torch import nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.robustness.criticisms import MIN_PICTURES, criticism_like
from whybox_handlers.robustness.percentiles import add_percentile

CAT = v1.ClassScore(index=0, label="cat")
# 0.01, 0.02, ..., 0.6: the easiest tenth is the first six.
SIXTY = [0.01 * place for place in range(1, 61)]


def classifier(distances: Sequence[float], trained_on: int = 0, **audit: Any) -> Classifier:
    bare = classifier_of(network_of(nn.Flatten(1)))
    model = v1.Model(audit=v1.Audit(**{"id": "a1", "attack": "fmn", "norms": ["linf", "l2"], "budget": 6, **audit}))
    references = [v1.ReferenceDistances(norm=norm, distances=distances) for norm in ("linf", "l2")]
    audited = v1.AuditedClass(class_index=0, distances=references, trained_on=trained_on)
    return Classifier(model, bare.network, bare.serving, bare.device, bank=v1.Bank(classes=[audited]))


def observed(size: float | None, of: Classifier, norm: str = "linf") -> v1.Observation:
    distance = v1.Distance(norm=norm, attack="fmn", predicted_class=CAT, distance=size)
    add_percentile(distance, of, v1.RobustnessOptions(budget="6"))
    return criticism_like(distance, of)


@pytest.mark.parametrize(
    ("distances", "size", "state", "threshold"),
    [
        (SIXTY, 0.0, "noted", 0.06),
        (SIXTY, SIXTY[5], "noted", 0.06),
        (SIXTY, 0.0601, "not_noted", 0.06),
        (SIXTY, 9.0, "not_noted", 0.06),
        # A tenth of 59 is five whole pictures.
        (SIXTY[:59], SIXTY[5], "not_noted", 0.05),
        (SIXTY[:50], SIXTY[4], "noted", 0.05),
        # The sixth has the distance of the seventh: seven pictures are more than a tenth.
        ([*SIXTY[:5], 0.06, 0.06, *SIXTY[7:]], 0.06, "not_noted", 0.05),
        ([*SIXTY[:4], 0.05, 0.05, *SIXTY[6:]], 0.05, "noted", 0.05),
        # Pictures that no change flips are the hardest.
        ([0.1, *[math.inf] * 59], 0.1, "noted", 0.1),
        ([0.1, *[math.inf] * 59], 0.2, "not_noted", 0.1),
    ],
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_easiest_tenth(distances: list[float], size: float, state: str, threshold: float, norm: str) -> None:
    found = observed(size, classifier(distances), norm)
    assert (found.kind, found.state, found.value) == ("criticism_like", state, size)
    assert found.threshold == pytest.approx(threshold)
    assert (found.n, found.audit_id) == (len(distances), "a1")
    # What the threshold promises, counted.
    assert 0 < sum(each <= found.threshold for each in distances) <= len(distances) / 10


@pytest.mark.parametrize("number", [50, 59, 100])
def test_at_most_one_in_ten_pictures_like_the_audited_has_the_note(number: int) -> None:
    """Each of n + 1 pictures is left out once and compared with the others: at most (n + 1) / 10 of them are noted."""
    drawn = sorted(np.random.default_rng(number).exponential(size=number + 1))
    noted = [observed(size, classifier([each for each in drawn if each != size])).state == "noted" for size in drawn]
    assert number // 10 <= sum(noted) <= (number + 1) / 10


def test_what_is_said() -> None:
    note = observed(0.5 / 255, classifier([place / 255 for place in range(1, 61)])).message
    assert note == (
        "the answer flips as easily as that of one in ten pictures of class 'cat': its distance is at most 6 grey "
        "levels, within which 6 of the 60 flip"
    )
    other = observed(0.7, classifier(SIXTY), "l2").message
    assert other == (
        "the answer does not flip as easily as that of one in ten pictures of class 'cat': its distance is more than "
        "0.06 in l2, within which 6 of the 60 flip"
    )
    assert "the model was trained on 3 of the 60" in observed(0.7, classifier(SIXTY, trained_on=3)).message


@pytest.mark.parametrize(
    ("size", "of", "words"),
    [
        (
            0.01,
            classifier(SIXTY[: MIN_PICTURES - 1]),
            "49 correctly classified pictures of class 'cat' in audit a1 are",
        ),
        (0.01, classifier([0.01] * 60), "more than a tenth of the 60 correctly classified pictures of class 'cat'"),
        (0.01, classifier([0.01] * 7 + SIXTY[7:]), "share the smallest distance"),
        (0.01, classifier([]), "no correctly classified picture of class 'cat'"),
        (None, classifier(SIXTY), "no flip was found"),
        (0.01, classifier(SIXTY, budget=12), "attacked with the budget 12, not 6"),
        (0.01, classifier(SIXTY, attack="ddn"), "attacked with ddn, not fmn"),
        (0.01, classifier(SIXTY, differences=["weights"]), "a version of the model with other weights"),
    ],
)
def test_what_cannot_be_compared_says_why(size: float | None, of: Classifier, words: str) -> None:
    found = observed(size, of)
    assert (found.kind, found.state) == ("criticism_like", "not_measured")
    assert words in found.message
    assert not any(found.HasField(field) for field in ("value", "threshold", "n"))
