"""Saliency: how steeply the logit depends on each pixel (Simonyan et al., arXiv:1312.6034)."""

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes


async def saliency(passes: Passes, question: Question) -> Attribution:
    """|d objective / d x| at the picture x, [3, H, W], in logits per unit of pixel value."""
    _, gradients = await passes.gradients(question.picture[None], question.objective)
    return Attribution(gradients[0].abs(), "logit per pixel value", signed=False)
