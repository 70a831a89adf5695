"""Captum's maps, which ours must equal for the methods that both define alike."""

from collections.abc import Callable

import torch
from captum.attr import InputXGradient, LayerGradCam, Saliency
from torch import Tensor

from whybox_handlers.models.differentiable import Differentiable


def _saliency(network: Differentiable, picture: Tensor, target: int) -> Tensor:
    attributions: Tensor = Saliency(network).attribute(picture, target=target)
    return attributions


def _input_x_gradient(network: Differentiable, picture: Tensor, target: int) -> Tensor:
    attributions: Tensor = InputXGradient(network).attribute(picture, target=target)
    return attributions


def _grad_cam(network: Differentiable, picture: Tensor, target: int) -> Tensor:
    attributions: Tensor = LayerGradCam(network, network.features).attribute(
        picture, target=target, relu_attributions=True
    )
    return attributions[:, 0]


PEERS: dict[str, Callable[[Differentiable, Tensor, int], Tensor]] = {
    "saliency": _saliency,
    "input_x_gradient": _input_x_gradient,
    "grad_cam": _grad_cam,
}
"""(network, picture [1, 3, H, W] that requires a gradient, class) to the map [1, ...], by the name of our method."""


def map_difference(name: str, network: Differentiable, picture: Tensor, target: int, ours: Tensor) -> float:
    """Largest difference of our map from Captum's, as a share of the range of 0 and Captum's; 0 is the same map.

    The range includes 0 because the values of a constant map, such as one of a single cell, have no range of their own.

    Args:
        name: One of `PEERS`.
        network: On the CPU.
        picture: [3, H, W] in [0, 1].
        target: The class.
        ours: Our map.
    """
    inputs = picture[None].clone().requires_grad_()
    theirs = PEERS[name](network, inputs, target)[0].detach()
    if theirs.shape != ours.shape:
        raise ValueError(f"{name}: our map has the shape {tuple(ours.shape)}, Captum's {tuple(theirs.shape)}")
    largest = float((ours - theirs).abs().max())
    size = float(theirs.max().clamp(min=0) - theirs.min().clamp(max=0))
    return largest / size if size else float(torch.inf if largest else 0)
