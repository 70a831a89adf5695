"""The torch network of a model, which can be differentiated."""

import torch
from torch import Tensor, nn

from whybox import v1
from whybox_handlers.models import networks


class Differentiable(nn.Module):
    """Pictures in [0, 1] to logits, by torch.

    Normalisation is inside, so that gradients and distances are in pixel values.

    Attributes:
        features: [N, 3, crop, crop] normalised pictures to the last feature maps, [N, C, h, w]; None for a network
            without such maps.
        head: The feature maps, or without them the pictures, to [N, classes] logits.
    """

    def __init__(self, network: networks.Network, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.features = network.features
        self.head = network.head
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        # Evaluation only: no dropout, fixed batch norms, and gradients with respect to pictures alone.
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, crop, crop] pictures in [0, 1] to [N, classes] logits.

        On a processor the head takes feature maps one by one: its matrix product rounds differently for several rows.
        """
        inputs = (pictures - self.mean) / self.std
        if self.features is None:
            logits: Tensor = self.head(inputs)
            return logits
        maps = self.features(inputs)
        parts = maps.split(1 if maps.device.type == "cpu" else len(maps))
        return torch.cat([self.head(part) for part in parts])

    def stages(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The logits and, for a network with feature maps, the maps that they were computed from."""
        inputs = (pictures - self.mean) / self.std
        if self.features is None:
            return (self.head(inputs),)
        maps = self.features(inputs)
        return self.head(maps), maps


def differentiable(model: v1.Model, weights: dict[str, Tensor]) -> Differentiable:
    """The torch network of a manifest with the weights of a state dict."""
    network = networks.build(model.architecture, model.num_classes)
    network.load(weights)
    return Differentiable(network, list(model.preprocessing.mean), list(model.preprocessing.std))
