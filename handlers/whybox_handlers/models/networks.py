"""Architectures: from "BUILDER/NAME" to a torch network, split at the maps that class activation methods read."""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import torchvision
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from whybox_handlers.models import torchvision_families
from whybox_handlers.models.spec import SpecError

MAX_ONNX_BYTES = 2**31 - 1
"""A protobuf message, which a serialized ONNX network is, holds no more."""


class Network(NamedTuple):
    """A classifier in two halves: its logits are `head(features(x))`.

    Attributes:
        features: [N, 3, H, W] normalised pictures to [N, C, h, w] feature maps, the last before pooling; None for a
            network without such maps, whose `head` is the whole network.
        head: Feature maps to [N, classes] logits.
        load: Loads a state dict of the whole network into both halves; raises a SpecError if it does not fit.
    """

    features: nn.Module | None
    head: nn.Module
    load: Callable[[dict[str, Tensor]], object]


def build(architecture: str, num_classes: int) -> Network:
    """An untrained network.

    Args:
        architecture: "BUILDER/NAME", for example "efficientnet_lite/efficientnet-lite0" or "torchvision/resnet50".
        num_classes: Width of the last layer.

    Raises:
        SpecError: There is no such builder, or it has no network of that name.
    """
    builder, _, name = architecture.partition("/")
    if builder not in BUILDERS:
        raise SpecError(f"architecture: {builder!r} is not one of {', '.join(BUILDERS)} (as in 'BUILDER/NAME')")
    return BUILDERS[builder](name, num_classes)


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
    return Network(_EfficientNetFeatures(network), head, _loader(network, num_classes))


def _torchvision(name: str, num_classes: int) -> Network:
    family = torchvision_families.family_of(name)
    if family is None:
        known = [each for each in torchvision_families.names() if not _is_too_large(each)]
        raise SpecError(f"architecture: torchvision/{name} is not one of {', '.join(known)}")
    if _is_too_large(name):
        raise SpecError(
            f"architecture: torchvision/{name} cannot be packed, because an ONNX file holds less than 2 GiB; "
            "choose a smaller architecture"
        )
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **family.options)
    features, head = family.split(network)
    return Network(features, head, _loader(network, num_classes, family.training))


def _is_too_large(name: str) -> bool:
    return torchvision_families.published_bytes(name) > MAX_ONNX_BYTES


def _loader(
    network: nn.Module, num_classes: int, training: tuple[str, ...] = ()
) -> Callable[[dict[str, Tensor]], object]:
    def load(weights: dict[str, Tensor]) -> None:
        # The published densenets have names with dots, from a time when names of modules could hold them.
        renamed = _StateDict(
            (_DENSENET_DOT.sub(r"\1", name), tensor)
            for name, tensor in weights.items()
            if not name.startswith(training)
        )
        # An MNASNet asks for the version of its weights, which checkpoints lose; older ones have other shapes.
        renamed._metadata = {"": {"version": network._version}}
        try:
            network.load_state_dict(renamed)
        except RuntimeError as error:
            outputs = _outputs(network, renamed, num_classes)
            if outputs is not None:
                raise SpecError(_other_outputs(outputs, num_classes)) from error
            raise SpecError(f"weights: the file holds another network's: {_misfit(network, renamed)}") from error

    return load


class _StateDict(OrderedDict[str, Tensor]):
    """A state dict as torch makes it, with what modules say about their versions."""

    _metadata: dict[str, dict[str, int]]


def _misfit(network: nn.Module, weights: dict[str, Tensor]) -> str:
    """The first reason why the weights do not fit; torch lists all of them."""
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        # Torch loads a state dict without the count of batches.
        if name not in weights and not name.endswith("num_batches_tracked"):
            return f"it lacks {name}"
        if name in weights and weights[name].shape != tensor.shape:
            return f"{name} has shape {list(weights[name].shape)}, and the architecture's has {list(tensor.shape)}"
    return f"the architecture has no {next((name for name in weights if name not in wanted), 'such weights')}"


def _outputs(network: nn.Module, weights: dict[str, Tensor], num_classes: int) -> int | None:
    """Number of outputs of the network in the weights, if that number alone differs from the architecture's."""
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    counted = {name for name in wanted if name.endswith("num_batches_tracked")}
    given = {name: tensor.shape for name, tensor in weights.items()}
    if wanted.keys() - counted != given.keys() - counted:
        return None
    differing = [(given[name], wanted[name]) for name in given if given[name] != wanted[name]]
    outputs = {theirs[0] for theirs, ours in differing if len(theirs) == len(ours) > 0}
    last_layers_only = all(ours[0] == num_classes and theirs[1:] == ours[1:] for theirs, ours in differing if ours)
    return outputs.pop() if last_layers_only and len(outputs) == 1 else None


def _other_outputs(outputs: int, num_classes: int) -> str:
    if outputs == 1:
        return "weights: the network has one output, to which softmax does not apply; train it with one per class"
    return f"labels: {num_classes} given, and the network in the weights has {outputs} outputs; give one label for each"


_DENSENET_DOT = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")

BUILDERS: dict[str, Callable[[str, int], Network]] = {
    "efficientnet_lite": _efficientnet_lite,
    "torchvision": _torchvision,
}
