"""Input times gradient: each pixel's share in a linear copy of the network (Shrikumar et al., arXiv:1605.01713)."""

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes


async def input_x_gradient(passes: Passes, question: Question) -> Attribution:
    """The picture x times d objective / d x there, [3, H, W], in logits.

    Black pixels are always 0. For a network that is linear in the picture the values sum to the objective less its
    bias; for other networks the sum has no meaning.
    """
    _, gradients = await passes.gradients(question.picture[None], question.objective)
    return Attribution(question.picture * gradients[0], "logit", signed=True)
