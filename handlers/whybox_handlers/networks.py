"""Architectures: from "BUILDER/NAME" to a torch network that is split where class activation maps are read."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torchvision.models import get_weight

from whybox_handlers.spec import SpecError


class Network(NamedTuple):
    """A convolutional classifier in two halves: `head(features(x))` are its logits.

    Attributes:
        features: [N, 3, H, W] normalised pictures to [N, C, h, w] feature maps, the last before pooling.
        head: Feature maps to [N, classes] logits.
        load: Loads a state dict of the whole network into both halves.
    """

    features: nn.Module
    head: nn.Module
    load: Callable[[dict[str, Tensor]], object]


def build(architecture: str, num_classes: int) -> Network:
    """An untrained network.

    Args:
        architecture: "BUILDER/NAME", for example "efficientnet_lite/efficientnet-lite0".
        num_classes: Width of the last layer.

    Raises:
        SpecError: No such builder, or it knows no such name.
    """
    builder, _, name = architecture.partition("/")
    if builder not in BUILDERS:
        raise SpecError(f"architecture: {builder!r} is not one of {', '.join(BUILDERS)} (as in 'BUILDER/NAME')")
    return BUILDERS[builder](name, num_classes)


def labels(source: str) -> list[str]:
    """Class names in index order.

    Args:
        source: "torchvision/WEIGHTS", for example "torchvision/EfficientNet_B0_Weights.IMAGENET1K_V1".

    Raises:
        SpecError: There is no such source.
    """
    library, _, name = source.partition("/")
    if library != "torchvision":
        raise SpecError(f"labels: {source!r} must be 'torchvision/WEIGHTS'")
    try:
        return list(get_weight(name).meta["categories"])
    except (ValueError, KeyError, AttributeError) as error:
        raise SpecError(f"labels: torchvision has no weights {name!r} with categories") from error


class _EfficientNetFeatures(nn.Module):
    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pictures)
        return features


def _efficientnet_lite(name: str, num_classes: int) -> Network:
    try:
        network = EfficientNet.from_name(name, num_classes=num_classes)
    except (ValueError, KeyError) as error:
        raise SpecError(
            f"architecture: efficientnet_lite has no {name!r}; it has efficientnet-lite0 to -lite4"
        ) from error
    # Dropout does nothing in evaluation, so pooling and the linear layer are the whole head.
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), network._fc)
    return Network(_EfficientNetFeatures(network), head, network.load_state_dict)


BUILDERS: dict[str, Callable[[str, int], Network]] = {
    "efficientnet_lite": _efficientnet_lite,
}


def read_weights(path: str) -> dict[str, Tensor]:
    """A state dict from a file saved by torch; nothing in the file is executed."""
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
