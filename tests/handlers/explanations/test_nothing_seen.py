"""Maps of pictures, or by networks, that give a method nothing to see: a residual of nothing is no convergence."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of
from explaining import explained, question_of
from whybox_handlers.explanations.baselines import black, blur, grey
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.explanations.quality import measure_quality
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one

SIDE = 16
# Integrated gradients draw nothing at random: their sum is compared with the true change, and 0 for no change is exact.
WATCHING = [
    name for name, row in EXPLAINERS.items() if row.default_tolerance is not None and name != "integrated_gradients"
]


class Constant(nn.Module):
    """The same logits for every picture, with a gradient of 0."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :3] * 0 + torch.tensor([1.0, 2.0, 3.0])


def linear(bias: bool = True) -> Classifier:
    torch.manual_seed(0)
    return classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * SIDE * SIDE, 3, bias=bias)))


def asked(classifier: Classifier, picture: Tensor, method: str, *baselines: Tensor) -> Question:
    return question_of(classifier, picture, 1, *baselines, tolerance=EXPLAINERS[method].default_tolerance or 0)


def reasons(classifier: Classifier, method: str, question: Question, attribution: Attribution) -> list[str]:
    row = EXPLAINERS[method]
    return list(run_one(classifier, measure_quality(row, question, attribution, Passes(Limits()))).reasons)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("method", WATCHING)
def test_a_network_that_sees_nothing(method: str, level: float) -> None:
    classifier = classifier_of(network_of(Constant()))
    question = asked(classifier, torch.full((3, SIDE, SIDE), level), method, torch.full((3, SIDE, SIDE), 0.25))
    found = explained(classifier, method, question)
    assert found.stopped_by == "evaluations"
    assert found.residual is None
    assert not found.values.any()
    said = reasons(classifier, method, question, found)
    assert any("the map has the same value everywhere" in reason for reason in said)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("method", [method for method in WATCHING if EXPLAINERS[method].default_baseline])
def test_a_picture_that_is_its_own_baseline(method: str, bias: bool) -> None:
    classifier = linear(bias)
    for evaluations in (None, 64):
        question = asked(classifier, torch.zeros(3, SIDE, SIDE), method)
        found = explained(classifier, method, question, evaluations)
        assert found.stopped_by in ("evaluations", "done")
        assert found.residual is None
        assert float(found.values.abs().max()) < 1e-6


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradient_shap_sees_every_baseline_before_it_stops(level: float) -> None:
    """The linear network's map is known: the weights times the difference from the mean baseline."""
    classifier = linear(bias=False)
    picture = torch.full((3, SIDE, SIDE), level)
    baselines = (black(picture), grey(picture), blur(picture))
    [layer] = [module for module in classifier.network.modules() if isinstance(module, nn.Linear)]
    weights = layer.weight[1].detach().view(3, SIDE, SIDE) / classifier.network.std
    exact = weights * (picture - torch.stack(baselines).mean(dim=0))
    shares = []
    for seed in range(20):
        question = replace(asked(classifier, picture, "gradient_shap", *baselines), seed=seed)
        found = explained(classifier, "gradient_shap", question)
        assert found.values.any()
        assert found.residual is not None
        shares.append(float((found.values - exact).norm() / exact.norm()))
    # About the tolerance on average; draws of one baseline alone would miss by the whole map.
    assert sum(share**2 for share in shares) / len(shares) <= 0.5**2


@pytest.mark.parametrize("method", WATCHING)
def test_a_small_change_is_still_seen(method: str) -> None:
    """The picture differs from its baseline by at most a thousandth."""
    classifier = linear(bias=False)
    base = torch.full((3, SIDE, SIDE), 0.5)
    picture = base + 1e-3 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found = explained(classifier, method, asked(classifier, picture, method, base))
    assert found.residual is not None
    assert found.values.any()


def test_a_gap_of_a_sampled_map_speaks_against_it() -> None:
    """Gradient SHAP of a step: its gradient is 0 except on a part of the way that samples seldom meet."""

    class Step(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            mean = pictures.mean(dim=(1, 2, 3))
            step = ((mean - 0.30) * 200).clamp(0, 1) * 8 + mean * 0.5
            return torch.stack([torch.zeros_like(step), step], dim=1)

    classifier = classifier_of(network_of(Step()))
    # Undo the normalisation of the test's networks.
    classifier.network.mean.zero_()
    classifier.network.std.fill_(1)
    picture = torch.full((3, SIDE, SIDE), 0.9)
    question = asked(classifier, picture, "gradient_shap")
    found = explained(classifier, "gradient_shap", question)
    assert found.baseline_value is not None
    gap = abs(float(found.values.double().sum()) - (question.value - found.baseline_value))
    assert gap > 0.5 * abs(question.value - found.baseline_value)
    assert found.stopped_by == "tolerance"
    said = reasons(classifier, "gradient_shap", question, found)
    assert any("miss the change of the logit that they should sum to" in reason for reason in said)
