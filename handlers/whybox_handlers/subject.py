"""A picture with what the network that serves predictions said of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from whybox import v1


@dataclass(frozen=True)
class Subject:
    """One picture, looked at.

    Attributes:
        picture: [3, crop, crop] in [0, 1].
        view: Where that lies in the picture that was sent.
        logits: [classes].
        maps: [C, h, w], the last feature maps; None where the network has none.
    """

    picture: Tensor
    view: v1.View
    logits: Tensor
    maps: Tensor | None

    @property
    def probabilities(self) -> Tensor:
        """[classes], summing to 1; float64."""
        return torch.softmax(self.logits.double(), dim=0)

    @property
    def predicted(self) -> int:
        """The class with the largest logit."""
        return int(self.logits.argmax())
