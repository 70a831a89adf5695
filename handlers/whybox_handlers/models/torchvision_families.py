"""The classifiers of torchvision: how each family is built, and where it is split.

The split lies where the network has finished seeing: its maps are the last before the layers that pool or classify.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torchvision
from torch import Tensor, nn

Halves = tuple[nn.Module | None, nn.Module]
"""What makes the last feature maps, [N, C, h, w], and what makes logits of them; without such maps, all is in one."""


class Family(NamedTuple):
    """Networks of one kind.

    Attributes:
        split: Takes torchvision's network apart; together, the halves compute what its forward pass does.
        options: Arguments of torchvision's builder, beyond the number of classes.
        training: Beginnings of the names of weights that only training uses; weights files may hold them or not.
    """

    split: Callable[[Any], Halves]
    options: Mapping[str, object] = {}
    training: tuple[str, ...] = ()


def family_of(name: str) -> Family | None:
    """The family of a classifier of torchvision; None for a name that torchvision does not have."""
    if name not in torchvision.models.list_models(torchvision.models):
        return None
    return next((family for beginning, family in FAMILIES.items() if name.startswith(beginning)), None)


def names() -> list[str]:
    """The classifiers of the installed torchvision that have a family, without the quantised ones."""
    return [name for name in torchvision.models.list_models(torchvision.models) if family_of(name) is not None]


def published_bytes(name: str) -> int:
    """Size of a classifier's float32 weights as torchvision publishes them, with 1000 classes."""
    return 4 * max(int(weights.meta["num_params"]) for weights in torchvision.models.get_model_weights(name))


class _Mean(nn.Module):
    """The mean over places, [N, C, h, w] to [N, C]; pooling and flattening round in another way."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean([2, 3])


def _resnet(network: Any) -> Halves:
    stem = (network.conv1, network.bn1, network.relu, network.maxpool)
    stages = (network.layer1, network.layer2, network.layer3, network.layer4)
    return nn.Sequential(*stem, *stages), nn.Sequential(network.avgpool, nn.Flatten(1), network.fc)


def _densenet(network: Any) -> Halves:
    # The forward pass of a DenseNet calls a function for the last ReLU.
    features = nn.Sequential(network.features, nn.ReLU())
    return features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), network.classifier)


def _convnext(network: Any) -> Halves:
    return network.features, nn.Sequential(network.avgpool, network.classifier)


def _pooled_and_flattened(network: Any) -> Halves:
    return network.features, nn.Sequential(network.avgpool, nn.Flatten(1), network.classifier)


def _max_pooled(network: Any) -> Halves:
    # The last maximum pooling belongs to the head: before it, maps show places twice as finely.
    *features, pooling = network.features
    return nn.Sequential(*features), nn.Sequential(pooling, network.avgpool, nn.Flatten(1), network.classifier)


def _squeezenet(network: Any) -> Halves:
    # The classifier's convolution makes one map per class, so its input is what shows features.
    return network.features, nn.Sequential(network.classifier, nn.Flatten(1))


def _googlenet(network: Any) -> Halves:
    features = nn.Sequential(
        *(network.conv1, network.maxpool1, network.conv2, network.conv3, network.maxpool2),
        *(network.inception3a, network.inception3b, network.maxpool3),
        *(network.inception4a, network.inception4b, network.inception4c, network.inception4d, network.inception4e),
        *(network.maxpool4, network.inception5a, network.inception5b),
    )
    return features, nn.Sequential(network.avgpool, nn.Flatten(1), network.fc)


def _inception(network: Any) -> Halves:
    features = nn.Sequential(
        *(network.Conv2d_1a_3x3, network.Conv2d_2a_3x3, network.Conv2d_2b_3x3, network.maxpool1),
        *(network.Conv2d_3b_1x1, network.Conv2d_4a_3x3, network.maxpool2),
        *(network.Mixed_5b, network.Mixed_5c, network.Mixed_5d),
        *(network.Mixed_6a, network.Mixed_6b, network.Mixed_6c, network.Mixed_6d, network.Mixed_6e),
        *(network.Mixed_7a, network.Mixed_7b, network.Mixed_7c),
    )
    return features, nn.Sequential(network.avgpool, nn.Flatten(1), network.fc)


def _shufflenet(network: Any) -> Halves:
    stages = (network.stage2, network.stage3, network.stage4)
    features = nn.Sequential(network.conv1, network.maxpool, *stages, network.conv5)
    return features, nn.Sequential(_Mean(), network.fc)


def _mnasnet(network: Any) -> Halves:
    return network.layers, nn.Sequential(_Mean(), network.classifier)


def _mobilenet_v2(network: Any) -> Halves:
    # The forward pass calls functions for pooling and flattening.
    return network.features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), network.classifier)


def _regnet(network: Any) -> Halves:
    features = nn.Sequential(network.stem, network.trunk_output)
    return features, nn.Sequential(network.avgpool, nn.Flatten(1), network.fc)


def _swin(network: Any) -> Halves:
    # Windows of attention are computed with the channels last.
    features = nn.Sequential(network.features, network.norm, network.permute)
    return features, nn.Sequential(network.avgpool, network.flatten, network.head)


def _maxvit(network: Any) -> Halves:
    return nn.Sequential(network.stem, *network.blocks), network.classifier


def _one_token(network: nn.Module) -> Halves:
    # A vision transformer answers from the token of the class alone: the last tokens of places do not reach its head.
    return None, network


# Auxiliary heads help training; a forward pass for evaluation leaves them out. Weights are drawn in the plain way, in
# place of a truncated normal distribution that takes SciPy half a minute. The builders' `transform_input` is no
# option: it turns pictures normalised by ImageNet's mean and std into pictures normalised by 0.5 and 0.5.
_WITHOUT_AUXILIARY_HEADS = {"aux_logits": False, "init_weights": False, "transform_input": False}

FAMILIES: Mapping[str, Family] = {
    "alexnet": Family(_max_pooled),
    "convnext_": Family(_convnext),
    "densenet": Family(_densenet),
    "efficientnet_": Family(_pooled_and_flattened),
    "googlenet": Family(_googlenet, _WITHOUT_AUXILIARY_HEADS, ("aux1.", "aux2.")),
    "inception_v3": Family(_inception, _WITHOUT_AUXILIARY_HEADS, ("AuxLogits.",)),
    "maxvit_": Family(_maxvit),
    "mnasnet": Family(_mnasnet),
    "mobilenet_v2": Family(_mobilenet_v2),
    "mobilenet_v3_": Family(_pooled_and_flattened),
    "regnet_": Family(_regnet),
    "resnet": Family(_resnet),
    "resnext": Family(_resnet),
    "shufflenet_v2_": Family(_shufflenet),
    "squeezenet": Family(_squeezenet),
    "swin_": Family(_swin),
    "vgg": Family(_max_pooled),
    "vit_": Family(_one_token),
    "wide_resnet": Family(_resnet),
}
"""By the beginnings of the names of torchvision's builders; no beginning is the beginning of another."""
