"""The computations that a pass can be: serving, and gradients by torch."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from whybox_handlers.models.classifier import Classifier

Compute = Callable[..., tuple[Tensor, ...]]
"""(classifier, *tensors with one row per picture) to tensors with one row per picture, on the CPU."""

ANY_RIVAL = -1
"""In place of a rival: the class other than the label with the largest logit."""


def serve(classifier: Classifier, pictures: Tensor) -> tuple[Tensor, ...]:
    """The logits of the serving network and, for a network with feature maps, the maps."""
    return classifier.serving(pictures)


def serve_alone(classifier: Classifier, pictures: Tensor) -> tuple[Tensor, ...]:
    """Logits of the serving network, each picture in a pass of its own."""
    return (torch.cat([classifier.serve(picture[None]) for picture in pictures]),)


def differentiate(classifier: Classifier, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, ...]:
    """[N] objectives and their gradients [N, 3, H, W], by torch; objectives are [N, classes] weights of the logits."""
    inputs = pictures.detach().to(classifier.device).requires_grad_()
    values = (classifier.network(inputs) * objectives.to(classifier.device)).sum(dim=1)
    (gradients,) = torch.autograd.grad(values.sum(), inputs)
    return values.detach().cpu(), gradients.cpu()


def differentiate_margin(
    classifier: Classifier, pictures: Tensor, labels: Tensor, rivals: Tensor
) -> tuple[Tensor, ...]:
    """Logits [N, classes] and the gradients [N, 3, H, W] of the labels' leads over the rivals; -1 is the best other.

    On a processor row by row: kernels round differently for several rows, which a search amplifies.
    Rows of the same picture, which differ in the rival alone, share the pass forward.
    """
    network, device = classifier.network, classifier.device
    size = 1 if device.type == "cpu" else len(pictures)
    parts: list[tuple[Tensor, Tensor]] = []
    inputs = logits = torch.empty(0)
    for row in range(0, len(pictures), size):
        if not (row and size == 1 and torch.equal(pictures[row], pictures[row - 1])):
            inputs = pictures[row : row + size].detach().to(device).requires_grad_()
            logits = network(inputs)
        margins = _margins(logits, labels[row : row + size].to(device), rivals[row : row + size].to(device))
        (gradients,) = torch.autograd.grad(margins.sum(), inputs, retain_graph=True)
        parts.append((logits.detach().cpu(), gradients.cpu()))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _margins(logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    rows = torch.arange(len(logits), device=logits.device)
    others = logits.detach().clone()
    others[rows, labels] = -math.inf
    against = torch.where(rivals == ANY_RIVAL, others.argmax(dim=1), rivals)
    return logits[rows, labels] - logits[rows, against]


def differentiate_head(classifier: Classifier, maps: Tensor, objectives: Tensor) -> tuple[Tensor, ...]:
    """Gradients [N, C, h, w] of the objectives with respect to the feature maps."""
    inputs = maps.detach().to(classifier.device).requires_grad_()
    values = (classifier.network.head(inputs) * objectives.to(classifier.device)).sum()
    (gradients,) = torch.autograd.grad(values, inputs)
    return (gradients.cpu(),)
