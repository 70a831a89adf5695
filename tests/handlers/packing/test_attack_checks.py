"""Networks that mask their gradients are caught; the real one is not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from explaining import subject_of
from whybox import v1
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier, TorchServing
from whybox_handlers.packing.attack_checks import check_attacks
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.measurement import measure_robustness


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
def views(all_views: Tensor) -> Tensor:
    return all_views[:2]


@pytest.fixture(scope="module")
def masking(classifier: Classifier, views: Tensor) -> Callable[[type[Wrapped]], Classifier]:
    """A model that is the real one hidden behind something, checked once."""

    checked_before: dict[type[Wrapped], Classifier] = {}

    def checked(kind: type[Wrapped]) -> Classifier:
        if kind in checked_before:
            return checked_before[kind]
        model, network = v1.Model(), kind(classifier.network).eval()
        model.CopyFrom(classifier.model)
        wrapped = Classifier(model, network, TorchServing(network), torch.device("cpu"))  # type: ignore[arg-type]
        check_attacks(wrapped, views, lambda _: None)
        checked_before[kind] = wrapped
        return wrapped

    return checked


def test_the_real_network_passes(classifier: Classifier) -> None:
    check = classifier.model.attack_check
    assert check.reliable, check.reasons
    assert check.planted == check.planted_found > 0
    assert classifier.model.default_attack == "fmn"


@pytest.mark.parametrize(
    ("kind", "words", "default"),
    [
        (Quantised, "zero almost everywhere", "square"),
        (Quantised, "without gradients finds smaller", "square"),
        (Saturated, "probabilities instead of logits", "square"),
        (Saturated, "zero almost everywhere", "square"),
        (Random, "the network is random", None),
        (Optimising, "computes gradients to answer", None),
    ],
)
def test_masked_gradients_are_caught(
    kind: type[Wrapped], words: str, default: str | None, masking: Callable[[type[Wrapped]], Classifier]
) -> None:
    model = masking(kind).model
    assert (model.attack_check.pictures, model.attack_check.attacked) == (2, 2)
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
    masking: Callable[[type[Wrapped]], Classifier],
    views: Tensor,
) -> None:
    distance = answered(masking(kind), views[0], attack)
    assert not distance.reliable
    for each in words:
        assert any(each in reason for reason in distance.reasons), distance.reasons


@pytest.mark.parametrize("kind", [Quantised, Saturated, Optimising])
def test_masked_gradients_do_not_concern_attacks_without(
    kind: type[Wrapped], masking: Callable[[type[Wrapped]], Classifier], views: Tensor
) -> None:
    distance = answered(masking(kind), views[0], "square")
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
