"""Networks to test on: random weights, with statistics as if they had been trained."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from presence import present
from whybox import v1
from whybox_handlers.models import networks
from whybox_handlers.models.classifier import Classifier, Differentiable, TorchServing

CLASSES = 7
SIDE = 64
CONVOLUTIONAL = (
    "torchvision/resnet18",
    "torchvision/densenet121",
    "torchvision/convnext_tiny",
    "torchvision/mobilenet_v3_small",
    "torchvision/efficientnet_b0",
)


def classifier_of(network: networks.Network) -> Classifier:
    """A classifier without an archive, served by torch."""
    differentiable = Differentiable(network, [0.5, 0.4, 0.45], [0.25, 0.2, 0.3])
    return Classifier(v1.Model(), differentiable, TorchServing(differentiable), torch.device("cpu"))


def network_of(*layers: nn.Module, features: nn.Module | None = None) -> networks.Network:
    """A network whose head is `layers` in a row."""
    return networks.Network(features, nn.Sequential(*layers), lambda _: None)


def random_classifier(architecture: str) -> Classifier:
    """An architecture of `CONVOLUTIONAL` whose activations neither die out nor explode."""
    torch.manual_seed(0)
    network = networks.build(architecture, CLASSES)
    whole = nn.Sequential(present(network.features), network.head).eval()
    for layer in whole.modules():
        _randomise(layer)
    # Normalised by what this very network makes of pictures, as training does.
    with torch.no_grad():
        whole((random_pictures(4) - 0.5) / 0.25)
    return classifier_of(network)


def _randomise(layer: nn.Module) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) and name == "weight":
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif name == "layer_scale":
            nn.init.uniform_(parameter, 0.1, 0.5)
        elif name == "bias":
            nn.init.normal_(parameter, std=0.2)
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(parameter)
    if isinstance(layer, nn.BatchNorm2d):
        layer.momentum = None
        layer.train()


def random_pictures(number: int, side: int = SIDE) -> Tensor:
    """[number, 3, side, side] in [0, 1]: random and smooth, with some noise."""
    coarse = torch.rand(number, 3, 5, 5, generator=torch.Generator().manual_seed(number))
    smooth = interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth + 0.05 * torch.rand(smooth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
