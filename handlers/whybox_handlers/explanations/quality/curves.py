"""Deletion and insertion: does the answer go, and come, with the pixels that the map calls important?

Petsiuk et al., RISE, BMVC 2018, arXiv:1806.07421.
"""

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.vocabulary import CURVE_STEPS
from whybox_handlers.explanations.explainers import Attribution, Question
from whybox_handlers.explanations.maps.pixels import displaced, importance
from whybox_handlers.explanations.substitutes import substitute
from whybox_handlers.models.subject import check_finite
from whybox_handlers.passes.account import Passes

DISPLACEMENTS = 4
"""Number of random places over which `random_auc` is averaged."""
CURVE_EVALUATIONS = (CURVE_STEPS + 1) + DISPLACEMENTS * (CURVE_STEPS - 1)
"""Forward evaluations of one curve; its two ends are the same in any order of the pixels."""


async def deletion(passes: Passes, question: Question, attribution: Attribution) -> v1.Curve:
    """The target's probability while the pixels go, the most important first; a low area speaks for the map.

    Args:
        passes: Is charged `CURVE_EVALUATIONS`.
        question: The question of the map; its `substitute` replaces the pixels.
        attribution: The map.
    """
    return await _curve(passes, question, attribution, question.picture, substitute(question))


async def insertion(passes: Passes, question: Question, attribution: Attribution) -> v1.Curve:
    """The target's probability while the pixels come onto the substitute; a high area speaks for the map."""
    return await _curve(passes, question, attribution, substitute(question), question.picture)


def probability(question: Question, logits: Tensor) -> Tensor:
    """[N, classes] logits to the target's probability [N], float64.

    The softmax; with a contrast class as if only the two classes existed, sigmoid(target - contrast).
    """
    check_finite(logits, "the model's output for a changed picture")
    # The weights of one class sum to 1, those of one against another to 0.
    if question.objective.sum() == 0:
        return torch.sigmoid(question.objective_of(logits).double())
    return torch.softmax(logits.double(), dim=1)[:, question.objective.argmax()]


async def _curve(passes: Passes, question: Question, attribution: Attribution, start: Tensor, end: Tensor) -> v1.Curve:
    values = importance(attribution, question.picture)
    fractions = torch.linspace(0, 1, CURVE_STEPS + 1, dtype=torch.float64)
    counts = (fractions * values.numel()).round().long()

    async def probabilities(order: Tensor, counts: Tensor) -> Tensor:
        exchanged = torch.where(_first(order, counts)[:, None], end, start)
        return probability(question, await passes.logits(exchanged))

    curve = await probabilities(values, counts)
    areas = []
    for elsewhere in displaced(values, DISPLACEMENTS, question.generator()):
        inner = await probabilities(elsewhere, counts[1:-1])
        areas.append(torch.trapezoid(torch.cat([curve[:1], inner, curve[-1:]]), fractions))
    return v1.Curve(
        fractions=fractions.tolist(),
        probabilities=curve.tolist(),
        auc=float(torch.trapezoid(curve, fractions)),
        random_auc=float(torch.stack(areas).mean()),
    )


def _first(values: Tensor, counts: Tensor) -> Tensor:
    """[N, H, W]: the places of the `counts` [N] largest values; equal values count in the order of the rows."""
    order = values.flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    return (ranks < counts[:, None]).view(-1, *values.shape)
