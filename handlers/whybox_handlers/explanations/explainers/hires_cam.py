"""HiResCAM: where the last feature maps raised a class (Draelos & Carin, arXiv:2011.08891)."""

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes


async def hires_cam(passes: Passes, question: Question) -> Attribution:
    """relu(sum_k (d objective / d A_k) * A_k) over the last feature maps A, at their own resolution [h, w].

    Grad-CAM averages the gradient over the map first, and so may light places that the head did not use. Both are equal
    for a head of pooling and one linear layer.
    """
    maps, gradients = await passes.head_gradients(question.maps, question.objective)
    return Attribution((gradients * maps).sum(dim=0).relu(), "relative", signed=False)
