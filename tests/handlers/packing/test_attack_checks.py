"""Networks that mask their gradients are caught; the real one is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from explaining import subject_of
from whybox import v1
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.packing.attack_checks import check_attacks
from whybox_handlers.packing.budgets import Budget, budget_of
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.pictures.decoding import decode, preprocess
from whybox_handlers.robustness.measurement import measure_robustness

FULL, FEWEST = budget_of(1), budget_of(10**12)


class Wrapped(nn.Module):
    """The real network, hidden behind something."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mean = network.mean

    def stages(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return (self(pictures),)


class Quantised(Wrapped):
    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.round(pictures * 8) / 8)
        return logits


class Saturated(Wrapped):
    def forward(self, pictures: Tensor) -> Tensor:
        return torch.softmax(100 * self.network(pictures), dim=1)


class Random(Wrapped):
    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(pictures)
        return logits + 0.01 * torch.randn_like(logits)


class Optimising(Wrapped):
    def forward(self, pictures: Tensor) -> Tensor:
        with torch.enable_grad():
            inputs = pictures.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.network(inputs).logsumexp(dim=1).sum(), inputs)
        logits: Tensor = self.network(pictures + 1e-4 * gradient.sign())
        return logits


@pytest.fixture(scope="module")
def views(classifier: Classifier, pictures: dict[Path, int]) -> Tensor:
    return torch.stack([classifier.see(path.read_bytes())[0] for path in list(pictures)[:2]])


@pytest.fixture(scope="module")
def small_views(pictures: dict[Path, int]) -> Tensor:
    """The same pictures of a fifth of the pixels, for networks that torch serves: passes take a fifth of the time."""
    return torch.stack([preprocess(decode(path.read_bytes()), 112, 96)[0] for path in list(pictures)[:2]])


@pytest.fixture(scope="module")
def masking(classifier: Classifier, small_views: Tensor) -> Callable[..., Classifier]:
    """A model that is the real one hidden behind something, checked once with each budget."""

    made: dict[tuple[type[Wrapped], int], Classifier] = {}

    def checked(kind: type[Wrapped], budget: Budget = FULL) -> Classifier:
        key = (kind, budget.forward_evaluations)
        if key in made:
            return made[key]
        model, network = v1.Model(), kind(classifier.network).eval()
        model.CopyFrom(classifier.model)
        wrapped = Classifier(model, network, TorchServing(network), torch.device("cpu"))  # type: ignore[arg-type]
        check_attacks(wrapped, small_views, budget, lambda _: None)
        made[key] = wrapped
        return wrapped

    return checked


def test_the_real_network_passes(classifier: Classifier) -> None:
    check = classifier.model.attack_check
    assert check.reliable, check.reasons
    assert check.planted == check.planted_found > 0
    assert classifier.model.default_attack == "fmn"


def test_the_real_network_passes_with_the_fewest_evaluations(classifier: Classifier, views: Tensor) -> None:
    model = v1.Model()
    model.CopyFrom(classifier.model)
    check_attacks(
        Classifier(model, classifier.network, classifier.serving, classifier.device), views, FEWEST, lambda _: None
    )
    assert model.attack_check.reliable, model.attack_check.reasons
    assert model.attack_check.planted == model.attack_check.planted_found == 1


@pytest.mark.parametrize(
    ("kind", "words", "default", "budget"),
    [
        (Quantised, "zero almost everywhere", "square", FULL),
        (Quantised, "without gradients finds smaller", "square", FULL),
        (Quantised, "without gradients finds smaller", "square", FEWEST),
        (Saturated, "probabilities instead of logits", "square", FULL),
        (Saturated, "zero almost everywhere", "square", FULL),
        (Random, "the network is random", None, FULL),
        (Optimising, "computes gradients to answer", None, FULL),
    ],
)
def test_masked_gradients_are_caught(
    kind: type[Wrapped], words: str, default: str | None, budget: Budget, masking: Callable[..., Classifier]
) -> None:
    model = masking(kind, budget).model
    check = model.attack_check
    assert (check.pictures, check.attacked) == (2, budget.attacked_pictures)
    spent = (check.gradient_evaluations, check.forward_evaluations, check.planted_evaluations)
    assert spent == (budget.gradient_evaluations, budget.forward_evaluations, budget.planted_evaluations)
    assert not model.attack_check.reliable
    assert any(words in reason for reason in model.attack_check.reasons), model.attack_check.reasons
    assert default in (None, model.default_attack)


def answered(classifier: Classifier, view: Tensor, attack: str) -> v1.Distance:
    options = v1.RobustnessOptions(norms=["linf"], budget="9", attack=attack)
    case = Case(classifier, subject_of(classifier, view))
    [distance] = run_one(classifier, measure_robustness(case, options, Passes(Limits()))).part.distances
    return distance


@pytest.mark.parametrize(
    ("kind", "attack", "words"),
    [
        (Quantised, "fmn", ["zero almost everywhere", "gradients mislead"]),
        (Saturated, "fmn", ["zero almost everywhere", "probabilities instead of logits"]),
        (Random, "fmn", ["network is random"]),
        (Random, "square", ["network is random"]),
        (Optimising, "fmn", ["computes gradients"]),
    ],
)
def test_an_answer_of_a_network_that_masks_its_gradients_says_so(
    kind: type[Wrapped],
    attack: str,
    words: list[str],
    masking: Callable[..., Classifier],
    small_views: Tensor,
) -> None:
    distance = answered(masking(kind), small_views[0], attack)
    assert not distance.reliable
    for each in words:
        assert any(each in reason for reason in distance.reasons), distance.reasons


@pytest.mark.parametrize("kind", [Quantised, Saturated, Optimising])
def test_masked_gradients_do_not_concern_attacks_without(
    kind: type[Wrapped], masking: Callable[..., Classifier], small_views: Tensor
) -> None:
    distance = answered(masking(kind), small_views[0], "square")
    assert not any("gradient" in reason for reason in distance.reasons), distance.reasons


def test_an_answer_of_the_real_network_is_reliable(classifier: Classifier, views: Tensor) -> None:
    for view in views:
        distance = answered(classifier, view, "fmn")
        assert distance.reliable, distance.reasons


def test_a_model_that_was_never_tested_says_so(classifier: Classifier, views: Tensor) -> None:
    untested = Classifier(v1.Model(), classifier.network, classifier.serving, classifier.device)
    untested.model.CopyFrom(classifier.model)
    untested.model.attack_check.Clear()
    for attack in ("fmn", "square"):
        distance = answered(untested, views[0], attack)
        assert any("never tested" in reason for reason in distance.reasons), distance.reasons
        assert not distance.reliable
