"""Explanation by example: which pictures are found, what is said of them, and when there are none to be found."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.examples import example_method, give_examples
from whybox_handlers.explanations.neighbourhood import NEAREST
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.references import CRITICISM, ORDINARY, PROTOTYPE, References, ReferenceWriter

LABELS = ["red", "green", "blue"]
RED, GREEN, BLUE = range(3)
AUDIT = v1.Audit(id="a1", primary_norm="linf", references=v1.References(pictures=13))
# Features are the mean colours: angle from red towards green in degrees, label, prediction, kind.
PICTURES = [
    *((angle, RED, RED, PROTOTYPE) for angle in (1, 12, 21)),
    *((angle, RED, RED, CRITICISM) for angle in (15, 30, 35)),
    (5, RED, GREEN, ORDINARY),
    (25, RED, RED, ORDINARY),
    *((angle, GREEN, GREEN, PROTOTYPE) for angle in (70, 80)),
    (40, GREEN, RED, ORDINARY),
    (89, GREEN, GREEN, CRITICISM),
    (60, BLUE, BLUE, ORDINARY),
]
IMAGE = b"the picture itself"
OWN = hashlib.sha256(IMAGE).hexdigest()


def features(angle: float) -> list[float]:
    return [np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0.0]


@pytest.fixture
def bank(tmp_path: Path) -> References:
    writer = ReferenceWriter(tmp_path, 3)
    writer.add(
        np.array([features(angle) for angle, *_ in PICTURES], dtype=np.float32),
        [
            v1.Neighbour(
                id=f"{angle}.jpg",
                sha256=OWN if angle == 1 else f"{angle}",
                class_index=label,
                class_label=LABELS[label],
                predicted=v1.ClassScore(index=predicted, label=LABELS[predicted], probability=0.9),
                distance=angle / 1000 if label == predicted else None,
                thumbnail=b"jpeg",
            )
            for angle, label, predicted, _ in PICTURES
        ],
        [kind for *_, kind in PICTURES],
    )
    writer.finish()
    return References(tmp_path)


def explained(bank: References | None, audit: v1.Audit | None = AUDIT, own: str = "", **given: Any) -> v1.Explanation:
    """Of a picture whose features are those of the angle 1."""
    bare = classifier_of(network_of(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), features=nn.Identity()))
    model = v1.Model(labels=LABELS, num_classes=3, audit=audit)
    classifier = Classifier(model, bare.network, bare.serving, bare.device, references=bank)
    picture = torch.zeros(3, 4, 4)
    maps = torch.tensor(features(1))[:, None, None].expand(3, 4, 4)
    subject = Subject(picture, v1.View(width=4), torch.tensor([2.0, 1.0, 0.0]), maps)
    options = v1.ExplanationOptions(**{"method": "example", "examples": 3, **given})
    return give_examples(Case(classifier, subject, image_sha256=own), options)


def ids(neighbours: Any) -> list[str]:
    return [neighbour.id for neighbour in neighbours]


@pytest.mark.parametrize(
    ("given", "prototypes", "criticisms", "others", "agreement"),
    [
        ({}, [1, 12, 21], [15, 30, 35], [40, 60, 70], 0.8),
        ({"own": OWN}, [12, 21], [15, 30, 35], [40, 60, 70], 0.7),
        ({"own": OWN, "examples": 1}, [12], [15], [40], 0.7),
        ({"examples": 20}, [1, 12, 21], [15, 30, 35], [40, 60, 70, 80, 89], 0.8),
        ({"target_class": GREEN}, [70, 80], [89], [1, 5, 12], 0.1),
        ({"target_class": BLUE}, [], [], [1, 5, 12], 0.1),
    ],
)
def test_which_pictures_are_found(
    bank: References,
    given: dict[str, Any],
    prototypes: list[int],
    criticisms: list[int],
    others: list[int],
    agreement: float,
) -> None:
    examples = explained(bank, **given).examples
    assert ids(examples.prototypes) == [f"{angle}.jpg" for angle in prototypes]
    assert ids(examples.criticisms) == [f"{angle}.jpg" for angle in criticisms]
    assert ids(examples.others) == [f"{angle}.jpg" for angle in others]
    assert examples.agreement == pytest.approx(agreement)
    assert (examples.nearest, examples.pictures) == (NEAREST, len(PICTURES))
    assert (examples.audit_id, examples.norm) == ("a1", "linf")


def test_what_is_said_of_them(bank: References) -> None:
    part = explained(bank)
    assert (part.target_class, part.target_label, part.target_logit) == (RED, "red", 2.0)
    assert (part.stopped_by, part.forward_evaluations, part.view.width) == ("done", 1, 4)
    assert not part.HasField("attribution")
    prototype, wrong = part.examples.prototypes[1], part.examples.others[0]
    assert prototype.similarity == pytest.approx(np.cos(np.deg2rad(11)), abs=1e-3)
    assert (prototype.distance, prototype.agrees) == (0.012, True)
    assert (wrong.class_label, wrong.predicted.label, wrong.agrees) == ("green", "red", True)
    assert not wrong.HasField("distance")
    assert not part.examples.others[1].agrees
    assert not prototype.thumbnail
    assert explained(bank, thumbnails=True).examples.prototypes[1].thumbnail == b"jpeg"


@pytest.mark.parametrize("target", [RED, GREEN])
def test_notes_are_about_the_answer_whatever_is_explained(bank: References, target: int) -> None:
    """With 8 pictures of the class it cannot be said whether its neighbours agree."""
    disagree, ambiguous = explained(bank, target_class=target).observations
    assert (disagree.kind, ambiguous.kind) == ("neighbours_disagree", "label_ambiguous")
    assert "audit a1 has 8 pictures of class 'red'" in disagree.message
    assert disagree.message == ambiguous.message


STALE = v1.Audit(id="a1", differences=["weights"], references=v1.References(pictures=1))


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        (None, "packed without one; pack it with --bank AUDIT"),
        (v1.Audit(id="a1"), "audit a1 is packed without features of its pictures; pack it again"),
        (STALE, "were seen by a network with other weights; audit this model"),
    ],
)
def test_a_model_without_pictures_says_what_to_do(bank: References, audit: v1.Audit | None, words: str) -> None:
    assert words in example_method(v1.Model(audit=audit)).unavailable
    with pytest.raises(FailedPreconditionError, match=words) as refused:
        explained(bank if audit is STALE else None, audit)
    assert refused.value.reason == "METHOD_UNAVAILABLE"


def test_a_model_with_pictures_offers_the_method() -> None:
    method = example_method(v1.Model(audit=AUDIT))
    assert (method.unavailable, method.gives_examples, list(method.map_shape)) == ("", True, [])
