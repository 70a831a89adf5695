"""The objective with parts of the picture removed, as all forward-only explainers need it."""

from dataclasses import replace

import torch
from torch import Tensor

from whybox_handlers.explanations.explainers.attribution import Question
from whybox_handlers.passes.account import Grant, Passes

ROUNDING = 1e-6
"""Share of the largest logit; on a GPU the same picture at another place of a batch may differ by a tenth of this."""


async def value_of(passes: Passes, question: Question, kept: Tensor) -> Tensor:
    """Mean over the baselines b of objective(m * x + (1 - m) * b) for masks m of the picture x.

    Costs one forward evaluation per mask and baseline.

    Args:
        passes: Are charged.
        question: With at least one baseline.
        kept: [N, H, W] in [0, 1]: 1 keeps the picture, 0 puts the baseline.

    Returns:
        [N] in logits, float64.
    """
    masked = [torch.lerp(baseline, question.picture, kept[:, None]) for baseline in question.baselines]
    values = question.objective_of(await passes.logits(torch.cat(masked)))
    return values.double().view(len(question.baselines), -1).mean(dim=0)


async def value_of_baselines(passes: Passes, question: Question) -> float:
    """Mean over the baselines of the objective, in logits; costs one forward evaluation each."""
    return float(question.objective_of(await passes.logits(torch.stack(question.baselines))).double().mean())


def grant(passes: Passes, question: Question, wanted: int) -> Grant:
    """The part of `wanted` masks, each for all baselines, that budget and deadline allow; see `Passes.grant`."""
    baselines = len(question.baselines)
    granted = passes.grant(wanted * baselines)
    return replace(granted, count=granted.count // baselines)


def rounding_of(question: Question) -> float:
    """Smaller differences of the objective, in logits, are rounding."""
    return ROUNDING * float(question.logits.double().abs().max())


def residual_of(values: Tensor, errors: Tensor) -> float | None:
    """Standard error of a map as a share of its size, both as root of the sums of squares.

    Args:
        values: A map, or values in proportion to its own.
        errors: Their standard errors, of the same shape.

    Returns:
        From 0, a map without error; None for a map that is 0 everywhere, which has no size to be compared with.
    """
    size, error = float(values.norm()), float(errors.norm())
    return error / size if size else None
