"""Gradient SHAP: integrated gradients as an expectation over baselines (Lundberg & Lee, arXiv:1705.07874)."""

import torch
from torch import Tensor

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.explanations.explainers.sampling import sample_mean
from whybox_handlers.passes.account import Passes


async def gradient_shap(passes: Passes, question: Question) -> Attribution:
    """E[(x - b) * d objective / d x at b + a (x - b)], [3, H, W], in logits.

    The expectation is over baselines b, drawn from those of the question with equal chances, and a, uniform in [0, 1].
    In expectation the values sum to objective(x) - E[objective(b)]; the convergence delta is the gap of this mean over
    samples. The tolerance does not end the draws before each baseline has had its turn: those that are not seen yet may
    be the ones that tell. No noise is added to x, because the values would then sum to the change from a noisy picture.
    """
    generator = question.generator()
    baselines = torch.stack(question.baselines)
    unseen = set(range(len(baselines)))

    async def draw(count: int) -> Tensor:
        turns = torch.randint(len(baselines), (count,), generator=generator)
        unseen.difference_update(turns.tolist())
        chosen = baselines[turns]
        places = torch.rand((count, 1, 1, 1), generator=generator)
        changes = question.picture - chosen
        _, gradients = await passes.gradients(chosen + places * changes, question.objective)
        return changes * gradients

    baseline_value = float(question.objective_of(await passes.logits(baselines)).mean())
    mean = await sample_mean(passes, question.options.tolerance, draw, lambda: not unseen)
    return Attribution(mean.values, "logit", True, mean.stopped_by, mean.residual, baseline_value, complete=True)
