"""Grad-CAM: evidence for a class in the last feature maps (Selvaraju et al., arXiv:1610.02391)."""

import torch
from captum.attr import LayerGradCam
from torch import Tensor

from whybox import v1
from whybox_handlers.classifier import Differentiable
from whybox_handlers.explainers.attribution import Attribution


def grad_cam(network: Differentiable, picture: Tensor, target: int, _options: v1.ExplanationOptions) -> Attribution:
    """relu(sum_k mean_ij(d logit / d A_k) * A_k) over the last feature maps A, at their own resolution [h, w].

    Args:
        network: Its `maps` are A.
        picture: [3, H, W] in [0, 1].
        target: Class to explain.
    """
    pictures = picture.unsqueeze(0).to(network.mean.device)
    cam = LayerGradCam(network, network.maps).attribute(pictures, target=target, relu_attributions=True)
    with torch.no_grad():
        target_logit = network(pictures)[0, target]
    # The gradient stops at A: nothing goes back through the convolutions.
    return Attribution(
        cam[0, 0].detach().cpu(), "relative", False, float(target_logit), forward_evaluations=2, gradient_evaluations=0
    )
