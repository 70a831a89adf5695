"""Grad-CAM: evidence for a class in the last feature maps (Selvaraju et al., arXiv:1610.02391)."""

from torch import Tensor

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes


async def grad_cam(passes: Passes, question: Question) -> Attribution:
    """relu(sum_k mean_ij(d objective / d A_k) * A_k) over the last feature maps A, at their own resolution [h, w].

    The serving network has already computed A, and the gradient stops there; it does not go through the convolutions.
    """
    maps, gradients = await passes.head_gradients(question.maps, question.objective)
    return Attribution(_weighted(maps, gradients.mean(dim=(1, 2), keepdim=True)), "relative", signed=False)


def _weighted(maps: Tensor, weights: Tensor) -> Tensor:
    return (weights * maps).sum(dim=0).relu()
