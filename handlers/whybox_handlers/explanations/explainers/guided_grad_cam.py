"""Guided Grad-CAM: Grad-CAM's regions in the detail of guided backpropagation (Selvaraju et al., arXiv:1610.02391)."""

from torch.nn import functional

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.explainers.grad_cam import grad_cam
from whybox_handlers.explanations.propagation.rules import guided_gradients
from whybox_handlers.passes.account import Passes


async def guided_grad_cam(passes: Passes, question: Question) -> Attribution:
    """The Grad-CAM map, bilinearly enlarged, times the guided gradients, [3, H, W].

    The sign is the gradient's: whether the class gains as the pixel gets brighter, or as it gets darker. The detail is
    the picture's edges more than the network's knowledge (Adebayo et al., arXiv:1810.03292).
    """
    regions = (await grad_cam(passes, question)).values
    _, gradients = await passes.gradients(question.picture[None], question.objective, guided_gradients)
    enlarged = functional.interpolate(
        regions[None, None], size=question.picture.shape[-2:], mode="bilinear", align_corners=False
    )
    return Attribution((enlarged * gradients)[0], "relative", signed=True)
