"""Passes for pictures with an occluded box; a network with cuts computes only the parts that change."""

from collections.abc import Sequence

import torch
from torch import Tensor

from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.local_network import Array, Box


class Occluded:
    """Computes the logits of one picture with something else in a box; see `computations.Compute`.

    Args:
        picture: [3, H, W] in [0, 1].
        fills: [3, H, W] each: the contents of the box.
    """

    def __init__(self, picture: Tensor, fills: Sequence[Tensor]) -> None:
        self._picture = picture
        self._fills = fills
        self._maps: Sequence[Array] | None = None

    def __call__(self, classifier: Classifier, boxes: Tensor, fills: Tensor) -> tuple[Tensor, ...]:
        """[N, classes] logits for boxes [N, 4], as in `Box`, and the numbers [N] of their fills."""
        pictures = self._picture.repeat(len(boxes), 1, 1, 1)
        places = [Box(*box) for box in boxes.tolist()]
        for picture, (top, left, bottom, right), fill in zip(pictures, places, fills.tolist(), strict=True):
            picture[:, top:bottom, left:right] = self._fills[fill][:, top:bottom, left:right]
        local = classifier.serving.local
        if local is None:
            return classifier.serving(pictures)[:1]
        if self._maps is None:
            self._maps = local.settle(self._picture.numpy())
        return (torch.from_numpy(local.change(pictures.numpy(), places, self._maps)),)
