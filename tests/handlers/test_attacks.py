"""Attacks against closed forms, and against the real network that serves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from whybox_handlers import pictures as decoding
from whybox_handlers.attacks import ATTACKS
from whybox_handlers.classifier import Classifier, Differentiable
from whybox_handlers.networks import Network

# The norm that limits the other one: distance to a hyperplane w is margin / dual(w).
DUALS = {"linf": 1}


def classifier_of(head: nn.Module) -> Any:
    """What an attack needs of a classifier, around a small network that also serves."""
    network = Differentiable(Network(nn.Identity(), head, lambda _: None), [0, 0, 0], [1, 1, 1])

    def serve(pictures: Tensor) -> np.ndarray:
        with torch.no_grad():
            return network(pictures).numpy()

    return SimpleNamespace(network=network, device=torch.device("cpu"), serve=serve)


def predicted(classifier: Any, picture: Tensor) -> int:
    return int(classifier.serve(picture[None])[0].argmax())


def test_every_norm_has_a_row() -> None:
    assert set(DUALS) == set(ATTACKS)


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize("evaluations", [2, 6, 30])
@pytest.mark.parametrize("seed", range(4))
def test_distance_to_the_boundary_of_a_linear_network(norm: str, evaluations: int, seed: int) -> None:
    torch.manual_seed(seed)
    linear = nn.Linear(3 * 6 * 6, 2)
    classifier = classifier_of(nn.Sequential(nn.Flatten(), linear))
    picture = 0.3 + 0.4 * torch.rand(3, 6, 6)
    label = predicted(classifier, picture)
    with torch.no_grad():
        logits = classifier.network(picture[None])[0]
        weight = linear.weight[label] - linear.weight[1 - label]
        exact = float((logits[label] - logits[1 - label]) / weight.norm(DUALS[norm]))
    found = ATTACKS[norm].run(classifier, picture, label, evaluations)
    assert found.adversarial is not None
    assert found.gradient_evaluations <= evaluations
    # Never below the exact distance (but for rounding), and above by no more than the bisection leaves.
    assert exact * (1 - 1e-3) <= found.adversarial.distance <= exact * 1.01
    assert found.adversarial.unflipped_distance <= exact * (1 + 1e-3)


@pytest.mark.parametrize("norm", ATTACKS)
def test_nothing_is_found_where_nothing_flips(norm: str) -> None:
    always_the_first = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 3))
    nn.init.constant_(always_the_first[1].weight, 0)
    with torch.no_grad():
        always_the_first[1].bias.copy_(torch.tensor([1.0, 0, 0]))
    found = ATTACKS[norm].run(classifier_of(always_the_first), torch.rand(3, 6, 6), 0, 10)
    assert found.adversarial is None
    assert found.distance_at_half_budget is None


@pytest.mark.parametrize("norm", ATTACKS)
def test_real_pictures(norm: str, classifier: Classifier, pictures: dict[Path, int]) -> None:
    """The rounds of a larger budget, the verified flip, the box, and that a replay gives the same."""
    for path in list(pictures)[::5]:
        picture, _ = decoding.preprocess(decoding.decode(path.read_bytes()), 256, 224)
        label = predicted(classifier, picture)
        few, many = (ATTACKS[norm].run(classifier, picture, label, budget) for budget in (6, 24))
        for found in (few, many):
            adversarial = found.adversarial
            assert adversarial is not None
            assert predicted(classifier, adversarial.picture) != label
            assert 0 <= float(adversarial.picture.min()) <= float(adversarial.picture.max()) <= 1
            change = adversarial.picture - picture
            assert ATTACKS[norm].size(change) == pytest.approx(adversarial.distance, rel=1e-6)
            below = picture + change * (adversarial.unflipped_distance / adversarial.distance)
            assert predicted(classifier, below.clamp(0, 1)) == label
            assert 0.99 * adversarial.distance <= adversarial.unflipped_distance < adversarial.distance
        assert few.adversarial is not None
        assert many.adversarial is not None
        assert many.adversarial.distance <= few.adversarial.distance * 1.02
        again = ATTACKS[norm].run(classifier, picture, label, 6).adversarial
        assert again is not None
        assert torch.equal(again.picture, few.adversarial.picture)


@pytest.mark.parametrize("norm", ATTACKS)
@pytest.mark.parametrize("tie", [0.0, 1e-7])
def test_a_picture_on_the_boundary(norm: str, tie: float) -> None:
    """Torch may see the label beaten where the serving network just decided for it; the distance is still found."""
    torch.manual_seed(1)
    linear = nn.Linear(3 * 6 * 6, 2)
    picture = 0.3 + 0.4 * torch.rand(3, 6, 6)
    with torch.no_grad():
        linear.weight *= 10
        logits = linear(picture.flatten())
        linear.bias[1] += logits[0] - logits[1] + tie
    classifier = classifier_of(nn.Sequential(nn.Flatten(), linear))
    serve = classifier.serve
    classifier.serve = lambda pictures: serve(pictures) + np.array([2 * tie, 0], np.float32)
    label = predicted(classifier, picture)
    found = ATTACKS[norm].run(classifier, picture, label, 12)
    assert found.adversarial is not None
    assert found.adversarial.distance < 1e-4
