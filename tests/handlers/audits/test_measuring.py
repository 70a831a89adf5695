"""From pictures to distances: together as alone, and as the service answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from explaining import subject_of
from whybox import v1
from whybox.v1.errors import PictureError
from whybox_handlers.audits.measuring import Measured, measure
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.serving import Served
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, Found
from whybox_handlers.robustness.attacks.fmn import FMN

OPTIONS = v1.RobustnessOptions(norms=["linf", "l2"], budget="2", attack="fmn")


@pytest.fixture(scope="module")
def together(classifier: Classifier, pictures: dict[Path, int]) -> list[Measured | Exception]:
    images, labels = given(pictures)
    return measure(classifier, images, labels, OPTIONS, seed=0)


def given(pictures: dict[Path, int]) -> tuple[list[bytes], list[int]]:
    """Two pictures with their labels, one with a wrong one, and one that is damaged."""
    paths = [path for path, label in pictures.items() if label in (251, 281)] + list(pictures)[:1]
    paths = paths[:3]
    images = [path.read_bytes() for path in paths]
    labels = [pictures[path] for path in paths]
    return [*images[:2], images[0], images[1][:3000]], [*labels[:2], 0, labels[1]]


def test_right_wrong_and_damaged(together: list[Measured | Exception], pictures: dict[Path, int]) -> None:
    _, labels = given(pictures)
    first, second, wrong, damaged = together
    for right, label in ((first, labels[0]), (second, labels[1])):
        assert isinstance(right, Measured)
        assert right.predicted == label
        assert [distance.norm for distance in right.distances] == ["linf", "l2"]
        for distance in right.distances:
            assert distance.state == "found"
            assert 0 < distance.unflipped_distance < distance.distance
            assert distance.adversarial_class.index != label
            assert distance.gradient_evaluations <= 2
    assert isinstance(first, Measured)
    assert isinstance(wrong, Measured)
    assert (wrong.predicted, wrong.distances) == (labels[0], ())
    # The picture is the first one with another label.
    assert (wrong.confidence, wrong.covariates, wrong.perceptual_hash) == (
        first.confidence,
        first.covariates,
        first.perceptual_hash,
    )
    assert isinstance(damaged, PictureError)


def test_together_is_as_alone(
    together: list[Measured | Exception], classifier: Classifier, pictures: dict[Path, int]
) -> None:
    for image, label, measured in zip(*given(pictures), together, strict=True):
        [alone] = measure(classifier, [image], [label], OPTIONS, seed=0)
        assert repr(alone) == repr(measured)


def test_distances_are_the_attacks(
    together: list[Measured | Exception], classifier: Classifier, pictures: dict[Path, int]
) -> None:
    [image, *_], _ = given(pictures)
    view, _ = classifier.see(image)
    subject = subject_of(classifier, view)
    first = together[0]
    assert isinstance(first, Measured)
    for distance in first.distances:
        found = run_one(classifier, ATTACKS["fmn"].run(Passes(Limits()), subject, distance.norm, 2))
        assert found.adversarial is not None
        assert found.adversarial.distance == distance.distance


class Failing(FMN):
    """Fails for pictures of one class."""

    def __init__(self, predicted: int) -> None:
        self._predicted = predicted

    async def run(self, passes: Passes, subject: Subject, *arguments: Any, **options: Any) -> Found:
        if subject.predicted == self._predicted:
            raise ZeroDivisionError
        return await super().run(passes, subject, *arguments, **options)


def test_an_attack_that_fails_leaves_the_others_alone(
    together: list[Measured | Exception],
    classifier: Classifier,
    pictures: dict[Path, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = given(pictures)
    monkeypatch.setitem(ATTACKS, "fmn", Failing(labels[0]))
    failed, *others = measure(classifier, images, labels, OPTIONS, seed=0)
    assert isinstance(failed, ZeroDivisionError)
    assert repr(others) == repr(together[1:])


def test_nan_is_no_wrong_prediction(
    together: list[Measured | Exception],
    classifier: Classifier,
    pictures: dict[Path, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = given(pictures)
    looked = []

    def look(pictures: Tensor) -> Served:
        looked.append(pictures)
        served = real(pictures)
        return served._replace(logits=torch.full_like(served.logits, torch.nan)) if len(looked) == 1 else served

    real = classifier.look
    monkeypatch.setattr(classifier, "look", look)
    failed, *others = measure(classifier, images, labels, OPTIONS, seed=0)
    assert isinstance(failed, Exception)
    assert not isinstance(failed, PictureError)
    assert repr(others) == repr(together[1:])
