"""Networks that mask their gradients are caught; the real one is not."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from whybox import v1
from whybox_handlers import pictures as decoding
from whybox_handlers.attack_checks import check_attacks
from whybox_handlers.classifier import Classifier, TorchServing


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
def views(pictures: dict[Path, int]) -> Tensor:
    paths = list(pictures)[:2]
    return torch.stack([decoding.preprocess(decoding.decode(path.read_bytes()), 256, 224)[0] for path in paths])


def checked(network: nn.Module, views: Tensor) -> v1.Model:
    wrapped = Classifier(v1.Model(), network, TorchServing(network), torch.device("cpu"))  # type: ignore[arg-type]
    check_attacks(wrapped, views, lambda _: None)
    return wrapped.model


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
    kind: type[Wrapped], words: str, default: str | None, classifier: Classifier, views: Tensor
) -> None:
    model = checked(kind(classifier.network).eval(), views)
    assert not model.attack_check.reliable
    assert any(words in reason for reason in model.attack_check.reasons), model.attack_check.reasons
    assert default in (None, model.default_attack)
