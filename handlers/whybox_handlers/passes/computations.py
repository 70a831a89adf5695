"""The computations that a pass can be: serving, and gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from whybox_handlers.models.classifier import Classifier

Compute = Callable[..., tuple[Tensor, ...]]
"""(classifier, *tensors with one row per picture) to tensors with one row per picture, on the CPU."""


def serve(classifier: Classifier, pictures: Tensor) -> tuple[Tensor, ...]:
    """The logits of the serving network and, for a network with feature maps, the maps."""
    return classifier.serving(pictures)


def serve_alone(classifier: Classifier, pictures: Tensor) -> tuple[Tensor, ...]:
    """Logits of the serving network, each picture in a pass of its own."""
    return (torch.cat([classifier.serve(picture[None]) for picture in pictures]),)


def differentiate(classifier: Classifier, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, ...]:
    """[N] objectives and their gradients [N, 3, H, W]; objectives are [N, classes] weights of the logits."""
    return classifier.differentiator.objectives(pictures, objectives)


def differentiate_margin(
    classifier: Classifier, pictures: Tensor, labels: Tensor, rivals: Tensor
) -> tuple[Tensor, ...]:
    """Logits [N, classes] and the gradients [N, 3, H, W] of the labels' leads over the rivals; -1 is the best other."""
    return classifier.differentiator.margins(pictures, labels, rivals)


def differentiate_head(classifier: Classifier, maps: Tensor, objectives: Tensor) -> tuple[Tensor, ...]:
    """Gradients [N, C, h, w] of the objectives with respect to the feature maps."""
    inputs = maps.detach().to(classifier.device).requires_grad_()
    values = (classifier.network.head(inputs) * objectives.to(classifier.device)).sum()
    (gradients,) = torch.autograd.grad(values, inputs)
    return (gradients.cpu(),)
