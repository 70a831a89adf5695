"""A linear model whose boundary is known, served while a test looks on."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.serving import Serving

SIDE = 8
LABELS = ("cat", "dog", "cow")


class Watched:
    """The serving network; `meanwhile` gets what each call answers, and gives what is answered instead."""

    provider = "torch"
    local = None

    def __init__(self, inner: Serving) -> None:
        self.inner = inner
        self.calls = 0
        self.meanwhile: Callable[[Tensor, Tensor], Tensor] = lambda _, logits: logits

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        self.calls += 1
        logits, *maps = self.inner(pictures)
        return self.meanwhile(pictures, logits), *maps


def picture(seed: int = 0) -> Tensor:
    """[3, SIDE, SIDE], far from black and white."""
    return 0.3 + 0.4 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def linear(distance: float, of: Tensor) -> tuple[Classifier, Watched]:
    """A model of three classes that says "cat"; its nearest boundary has this Linf distance from the picture."""
    layer = nn.Linear(of.numel(), len(LABELS))
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
        layer.bias.zero_()
    classifier = classifier_of(network_of(nn.Flatten(1), layer))
    # By how much each class must lag behind the first one; the third is out of reach.
    margins = [0.0, distance * slope(classifier), 100.0]
    with torch.no_grad():
        layer.bias.sub_(classifier.serve(of[None])[0] + torch.tensor(margins))
    watched = Watched(classifier.serving)
    model = v1.Model(num_classes=len(LABELS), labels=LABELS, attack_check=v1.AttackCheck(pictures=1, planted=1))
    model.attack_check.planted_found = 1
    return Classifier(model, classifier.network, watched, classifier.device), watched


def slope(classifier: Classifier) -> float:
    """How fast the lead of the first class over the second can fall, in logits per unit of the Linf norm."""
    [layer] = [module for module in classifier.network.modules() if isinstance(module, nn.Linear)]
    difference = (layer.weight[0] - layer.weight[1]).view(3, -1) / classifier.network.std.view(3, 1)
    return float(difference.abs().sum())
