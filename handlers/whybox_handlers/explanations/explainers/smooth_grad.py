"""SmoothGrad: the gradient without its noise (Smilkov et al., arXiv:1706.03825)."""

import torch
from torch import Tensor

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.explainers.sampling import sample_mean
from whybox_handlers.passes.account import Passes

# Standard deviation of the noise; pictures lie in [0, 1]. The paper advises 10 to 20 % of the range.
_NOISE = 0.1


async def smooth_grad(passes: Passes, question: Question) -> Attribution:
    """Mean over n of d objective / d x at x + 0.1 N(0, 1), [3, H, W], in logits per unit of pixel value.

    The mean is signed, not one of squares or of absolute values: it is the gradient of a defined function, the
    objective smoothed by the noise. If single gradients contradict each other it goes to 0, while the other means
    would keep their noise. Noisy pictures are not clamped to [0, 1]: that would bias the mean at dark and bright
    pixels.
    """
    generator = question.generator()

    async def draw(count: int) -> Tensor:
        noise = torch.randn((count, *question.picture.shape), generator=generator)
        _, gradients = await passes.gradients(question.picture + _NOISE * noise, question.objective)
        return gradients

    mean = await sample_mean(passes, question.options.tolerance, draw)
    return Attribution(mean.values, "logit per pixel value", True, mean.stopped_by, mean.residual)
