"""Notes on an answer from the labels of the nearest audited pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox_handlers.explanations.neighbourhood import observe_neighbours
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.references import References, ReferenceWriter

LABELS = ["red", "green", "blue"]
RED, GREEN, BLUE = range(3)
AUDIT = v1.Audit(id="a1")


def bank(folder: Path, counts: Sequence[int]) -> References:
    """A number of pictures of each class; where they lie does not matter."""
    writer = ReferenceWriter(folder, 2)
    labels = [label for label, number in enumerate(counts) for _ in range(number)]
    writer.add(
        np.ones((len(labels), 2), np.float32), [v1.Neighbour(class_index=label) for label in labels], [0] * len(labels)
    )
    writer.finish()
    return References(folder)


def observed(
    references: References, probabilities: Sequence[float], nearest: Sequence[int], labels: Sequence[str] = LABELS
) -> list[v1.Observation]:
    bare = classifier_of(network_of(nn.Flatten(1)))
    model = v1.Model(labels=labels, num_classes=len(labels), audit=AUDIT)
    classifier = Classifier(model, bare.network, bare.serving, bare.device, references=references)
    subject = Subject(torch.zeros(3, 4, 4), v1.View(), torch.tensor(probabilities).clamp(min=1e-9).log(), None)
    return list(observe_neighbours(classifier, subject, references, nearest))


@pytest.mark.parametrize(
    ("nearest", "value", "state", "most"),
    [
        ([RED] * 10, 0.0, "not_noted", ""),
        ([RED] * 5 + [GREEN] * 5, 0.5, "not_noted", ", 5 of them 'green'"),
        ([RED] * 4 + [BLUE] * 4 + [GREEN] * 2, 0.6, "noted", ", 4 of them 'blue'"),
        # Among equals the class of the nearest is named.
        ([BLUE, *[GREEN] * 5, *[BLUE] * 4], 1.0, "noted", ", 5 of them 'blue'"),
        # A bank from which the picture itself is left out.
        ([RED] * 4 + [GREEN] * 5, 5 / 9, "noted", ", 5 of them 'green'"),
    ],
)
def test_neighbours_disagree(tmp_path: Path, nearest: list[int], value: float, state: str, most: str) -> None:
    found, _ = observed(bank(tmp_path, [10, 10, 10]), [0.8, 0.1, 0.1], nearest)
    assert (found.kind, found.state, found.threshold, found.audit_id) == ("neighbours_disagree", state, 0.5, "a1")
    assert found.value == pytest.approx(value)
    assert found.n == len(nearest)
    others = len(nearest) - nearest.count(RED)
    assert found.message == (
        f"{others} of the {len(nearest)} nearest pictures of audit a1 have other labels than 'red'{most}"
    )


@pytest.mark.parametrize(
    ("probabilities", "nearest", "value", "state"),
    [
        # Both are divided; the smaller share counts.
        ([0.5, 0.3, 0.2], [RED] * 8 + [GREEN] * 2, 0.2, "noted"),
        ([0.6, 0.2, 0.2], [RED] * 5 + [GREEN] * 5, 0.25, "noted"),
        # Labels are divided in favour of the runner-up.
        ([0.6, 0.4, 0.0], [RED] * 2 + [GREEN] * 8, 0.2, "noted"),
        # The network alone, the labels alone, and neither.
        ([0.5, 0.3, 0.2], [RED] * 9 + [GREEN], 0.1, "not_noted"),
        ([0.96, 0.04, 0.0], [RED] * 5 + [GREEN] * 5, 0.04, "not_noted"),
        ([0.96, 0.04, 0.0], [RED] * 10, 0.0, "not_noted"),
        # Divided between the answer and another class than the runner-up.
        ([0.5, 0.3, 0.2], [RED] * 5 + [BLUE] * 5, 0.0, "not_noted"),
        # Equal logits: the class with the lower index is the answer.
        ([0.5, 0.5, 0.0], [GREEN] * 5 + [RED] * 5, 0.5, "noted"),
    ],
)
def test_label_ambiguous(
    tmp_path: Path, probabilities: list[float], nearest: list[int], value: float, state: str
) -> None:
    _, found = observed(bank(tmp_path, [10, 10, 10]), probabilities, nearest)
    assert (found.kind, found.state, found.threshold, found.n) == ("label_ambiguous", state, 0.1, 10)
    assert found.value == pytest.approx(value)
    red, green = (100 * probabilities[label] for label in (RED, GREEN))
    assert found.message == (
        f"the network gives {red:.1f} % to 'red' and {green:.1f} % to 'green'; of the 10 nearest pictures of audit a1, "
        f"{nearest.count(RED)} show 'red' and {nearest.count(GREEN)} show 'green'"
    )


def test_a_model_with_two_classes(tmp_path: Path) -> None:
    disagree, ambiguous = observed(bank(tmp_path, [10, 10]), [0.7, 0.3], [GREEN] * 6 + [RED] * 4, LABELS[:2])
    assert (disagree.state, ambiguous.state) == ("noted", "noted")
    assert disagree.value == pytest.approx(0.6)
    assert ambiguous.value == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("counts", "states", "words"),
    [
        ([10, 10, 0], ("not_noted", "not_noted"), ""),
        ([9, 10, 30], ("not_measured", "not_measured"), "audit a1 has 9 pictures of class 'red'; it takes 10"),
        ([10, 1, 30], ("not_noted", "not_measured"), "audit a1 has 1 picture of class 'green'; it takes 10"),
        ([0, 0, 30], ("not_measured", "not_measured"), "audit a1 has 0 pictures of class 'red'; it takes 10"),
    ],
)
def test_a_bank_with_too_few_pictures_says_so(
    tmp_path: Path, counts: list[int], states: tuple[str, str], words: str
) -> None:
    """Pictures of a class that the bank hardly knows have other neighbours whatever they show."""
    found = observed(bank(tmp_path, counts), [0.9, 0.1, 0.0], [RED] * 10)
    assert tuple(each.state for each in found) == states
    for each in found:
        if each.state == "not_measured":
            assert words in each.message
            assert not any(each.HasField(field) for field in ("value", "threshold", "n"))
