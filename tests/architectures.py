"""Networks to test on: random weights, with statistics as if they had been trained."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from whybox import v1
from whybox_handlers.models import networks
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing

CLASSES = 7
SIDE = 64
# The smallest member of each family of torchvision in which DeepLIFT has a rule for every operation, and the rest.
CONVOLUTIONAL = (
    "torchvision/alexnet",
    "torchvision/convnext_tiny",
    "torchvision/densenet121",
    "torchvision/efficientnet_b0",
    "torchvision/googlenet",
    "torchvision/inception_v3",
    "torchvision/mnasnet0_5",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/regnet_y_400mf",
    "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/squeezenet1_1",
    "torchvision/vgg11",
)
ATTENTIVE = ("torchvision/maxvit_t", "torchvision/swin_t", "torchvision/swin_v2_t", "torchvision/vit_b_32")
# Sides of pictures for networks that do not take `SIDE`.
_SIDES = {"torchvision/inception_v3": 128, "torchvision/maxvit_t": 224, "torchvision/vit_b_32": 224}


def classifier_of(network: networks.Network) -> Classifier:
    """A classifier without an archive, served by torch."""
    differentiable = Differentiable(network, [0.5, 0.4, 0.45], [0.25, 0.2, 0.3])
    return Classifier(v1.Model(), differentiable, TorchServing(differentiable), torch.device("cpu"))


def network_of(*layers: nn.Module, features: nn.Module | None = None) -> networks.Network:
    """A network whose head is `layers` in a row."""
    return networks.Network(features, nn.Sequential(*layers), lambda _: None)


def side_of(architecture: str) -> int:
    """Side of a small picture that an architecture takes, pixels."""
    return _SIDES.get(architecture, SIDE)


def whole_of(network: networks.Network) -> nn.Module:
    """Both halves in one, for evaluation."""
    return nn.Sequential(*[half for half in (network.features, network.head) if half is not None]).eval()


def random_classifier(architecture: str) -> Classifier:
    """An architecture whose activations neither die out nor explode."""
    torch.manual_seed(0)
    network = networks.build(architecture, CLASSES)
    randomise(whole_of(network), (random_pictures(4, side_of(architecture)) - 0.5) / 0.25)
    return classifier_of(network)


def randomise(network: nn.Module, pictures: Tensor) -> None:
    """Gives a network random weights, and its batch norms what this very network makes of pictures, as training does.

    Args:
        network: In evaluation.
        pictures: [N, 3, H, W], normalised.
    """
    for layer in network.modules():
        _randomise(layer)
    with torch.no_grad():
        network(pictures)
    network.eval()


def _randomise(layer: nn.Module) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) and name == "weight":
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif name == "layer_scale":
            nn.init.uniform_(parameter, 0.1, 0.5)
        elif name == "bias":
            nn.init.normal_(parameter, std=0.2)
        elif isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(parameter)
    if isinstance(layer, nn.BatchNorm2d):
        layer.momentum = None
        layer.train()


def random_pictures(number: int, side: int = SIDE) -> Tensor:
    """[number, 3, side, side] in [0, 1]: random and smooth, with some noise."""
    coarse = torch.rand(number, 3, 5, 5, generator=torch.Generator().manual_seed(number))
    smooth = interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth + 0.05 * torch.rand(smooth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
