"""Norms of gradients of any scale, and attacks on networks whose logits have any scale."""

import pytest
import torch
from torch import Tensor, nn

from explaining import subject_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.networks import Network
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, NORMS

SIDE = 16


def classifier_of(head: nn.Module) -> Classifier:
    network = Differentiable(Network(None, head, lambda _: None), [0.0] * 3, [1.0] * 3)
    return Classifier(v1.Model(), network, TorchServing(network), torch.device("cpu"))


@pytest.mark.parametrize("scale", [1e-40, 1e-24, 1e-10, 1.0, 1e10, 1e22, 1e33])
@pytest.mark.parametrize("norm", NORMS)
def test_steepness_of_any_gradient_that_is_finite(norm: str, scale: float) -> None:
    drawn = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
    gradient = drawn * scale
    exact = gradient.double()
    dual = float(exact.abs().sum()) if norm == "linf" else float(exact.norm())
    assert NORMS[norm].steepness(gradient) == pytest.approx(dual, rel=1e-6)
    direction = NORMS[norm].steepest(gradient)
    assert NORMS[norm].size(direction) == pytest.approx(1, rel=1e-6)
    assert float((direction.double() * exact).sum()) == pytest.approx(dual, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-24, 1e-12, 1e12, 1e22])
@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in ATTACKS for norm in ATTACKS[name].norms])
def test_the_scale_of_the_logits_does_not_move_the_boundary(name: str, norm: str, scale: float) -> None:
    torch.manual_seed(2)
    weights, picture = torch.randn(2, 3 * SIDE * SIDE), 0.3 + 0.4 * torch.rand(3, SIDE, SIDE)
    difference = weights[0] - weights[1]
    lead = 0.01 * difference.abs().sum() - difference @ picture.flatten()

    class Head(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, pictures: Tensor) -> Tensor:
            logits = pictures.flatten(1) @ weights.T
            return self.scale * (logits + torch.stack([lead, torch.tensor(0.0)]))

    distances = []
    for factor in (1.0, scale):
        classifier = classifier_of(Head(factor))
        found = run_one(classifier, ATTACKS[name].run(Passes(Limits()), subject_of(classifier, picture), norm, 12))
        assert found.adversarial is not None
        assert found.stopped_by != "flat"
        distances.append(found.adversarial.distance)
    assert distances[1] == pytest.approx(distances[0], rel=0.02)
