"""Infidelity: does the map predict the network's answer to a changed picture?

Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, arXiv:1901.09392.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from whybox_handlers.explanations.explainers import Attribution, Question
from whybox_handlers.explanations.maps.pixels import displaced, importance
from whybox_handlers.explanations.substitutes import substitute
from whybox_handlers.models.subject import check_finite
from whybox_handlers.passes.account import Passes

INFIDELITY_EVALUATIONS = 64
"""Random changes, and so forward evaluations."""
_SMALLEST, _LARGEST = 1 / 8, 1 / 2
"""Side of a changed square as a share of the view's: from a detail to an object."""

_DISPLACEMENTS = 16
"""Random places; they cost no passes."""
_ROUNDING = 1e-4
"""In logits; on a GPU the same picture in another batch may differ by a tenth of this."""


class Infidelity(NamedTuple):
    """Infidelity of a map and, for the same changes, of a map with one value everywhere and of the map displaced."""

    of_map: float
    of_uniform: float
    at_random: float


async def infidelity(passes: Passes, question: Question, attribution: Attribution) -> Infidelity | None:
    """Minimum over s >= 0 of E[(s * foretold - true)^2] / E[true^2] for random changes of the picture; 0 to 1.

    A change puts `substitute` in place of a random square ("square removal" in the paper); `true` is the fall of the
    objective. A map whose values are logits, or relative, foretells the sum of its values over the square. A gradient
    foretells the sum of its products with the change of each pixel. The scaling s is the paper's, which makes units
    comparable; it may not be negative, because then a map that gets every sign wrong would be perfect.

    Args:
        passes: Is charged `INFIDELITY_EVALUATIONS`.
        question: The question of the map.
        attribution: The map.

    Returns:
        None if no change of the picture changed the objective, so that there was nothing to predict.
    """
    picture, instead = question.picture, substitute(question)
    squares = _squares(picture, question.generator())
    logits = await passes.logits(torch.where(squares[:, None], instead, picture))
    true = check_finite(question.value - question.objective_of(logits).double(), "the logit of a changed picture")
    if not true.abs().max() > _ROUNDING:
        return None
    foretold = _foretold(attribution, picture, instead).double()
    elsewhere = displaced(foretold, _DISPLACEMENTS, question.generator())
    of_map, of_uniform, *at_random = (
        _unexplained((squares * each).sum(dim=(1, 2)), true)
        for each in (foretold, torch.ones_like(foretold), *elsewhere)
    )
    return Infidelity(of_map, of_uniform, sum(at_random) / len(at_random))


def _foretold(attribution: Attribution, picture: Tensor, instead: Tensor) -> Tensor:
    """[H, W]: the fall of the objective that the map predicts for replacing each pixel."""
    if attribution.units != "logit per pixel value" or attribution.values.dim() == 2:
        return importance(attribution, picture)
    change = picture - instead
    # Gradients without signs tell how much, not whether for or against.
    return (attribution.values * (change if attribution.signed else change.abs())).sum(dim=0)


def _squares(picture: Tensor, generator: torch.Generator) -> Tensor:
    """[N, H, W] booleans: one random square each, wholly inside the view."""
    height, width = picture.shape[1:]
    shares = torch.rand(INFIDELITY_EVALUATIONS, 3, generator=generator, dtype=torch.float64)
    sides = ((_SMALLEST + (_LARGEST - _SMALLEST) * shares[:, 0]) * min(height, width)).round().clamp(min=1)[:, None]
    tops, lefts = (
        (shares[:, position, None] * (length - sides + 1)).floor() for position, length in ((1, height), (2, width))
    )
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= tops) & (rows < tops + sides)
    inside_columns = (columns >= lefts) & (columns < lefts + sides)
    return inside_rows[:, :, None] & inside_columns[:, None]


def _unexplained(foretold: Tensor, true: Tensor) -> float:
    """Share of the mean square that remains after the best scaling."""
    size = float(foretold.square().sum())
    common = float(foretold @ true)
    if not size or common <= 0:
        return 1.0
    # Not 1 - cos^2: that loses half of the digits near 0.
    return float((true - common / size * foretold).square().sum() / true.square().sum())
