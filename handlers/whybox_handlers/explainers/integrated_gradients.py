"""Integrated gradients from a black picture (Sundararajan et al., arXiv:1703.01365)."""

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from whybox import v1
from whybox_handlers.classifier import Differentiable
from whybox_handlers.explainers.attribution import Attribution

# Steps that go through the network together: the memory of 16 pictures, whatever the number of steps.
_BATCH = 16


def integrated_gradients(
    network: Differentiable, picture: Tensor, target: int, options: v1.ExplanationOptions
) -> Attribution:
    """(x - b) * integral of d logit / d x along the straight line from black b = 0 to the picture x, [3, H, W].

    The integral is a Gauss-Legendre sum of `options.steps` gradients. Values are in logits and, with enough steps, add
    up to logit(x) - logit(b).

    Args:
        network: What is explained.
        picture: [3, H, W] in [0, 1].
        target: Class to explain.
        options: `steps` is read.
    """
    pictures = picture.unsqueeze(0).to(network.mean.device)
    black = torch.zeros_like(pictures)
    values = IntegratedGradients(network).attribute(
        pictures, black, target=target, n_steps=options.steps, method="gausslegendre", internal_batch_size=_BATCH
    )
    with torch.no_grad():
        target_logit, baseline_logit = network(torch.cat([pictures, black]))[:, target].tolist()
    return Attribution(
        values[0].detach().float().cpu(),
        "logit",
        True,
        target_logit,
        forward_evaluations=options.steps + 2,
        gradient_evaluations=options.steps,
        baseline="black",
        baseline_logit=baseline_logit,
    )
