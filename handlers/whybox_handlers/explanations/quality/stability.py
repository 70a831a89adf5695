"""How much a map changes with a change of the picture that is hardly visible."""

from dataclasses import replace

import torch
from torch import Tensor

from whybox import v1
from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.explanations.explainers import Attribution, Explainer, Question
from whybox_handlers.explanations.maps.pixels import channels_summed
from whybox_handlers.explanations.maps.ranks import rank_correlation
from whybox_handlers.explanations.maps.similarity import top_overlap
from whybox_handlers.models.subject import check_finite
from whybox_handlers.passes.account import Passes

SENSITIVITY_CHANGES = 4
"""Random changes for `sensitivity`; each costs as much as the map itself."""
_SENSITIVITY_RADIUS = 0.02
_ROUNDING = 0.5 / 255


class Repetition:
    """The same method, asked the same question about changed pictures.

    Args:
        row: The method.
        question: Baselines and seed stay, so that maps differ only by the change of the picture.
        budget: As for the first map; None for no limit.
        passes: Its limits hold; its account is left alone.

    Attributes:
        forward_evaluations: Cost of the repetitions so far.
        gradient_evaluations: The same.
        late: Whether the deadline cut a repetition short, so that it cannot be compared.
    """

    def __init__(self, row: Explainer, question: Question, budget: int | None, passes: Passes) -> None:
        self.question = question
        self._row = row
        self._budget = budget
        self._passes = passes
        self.forward_evaluations = 0
        self.gradient_evaluations = 0
        self.late = False

    async def values(self, radius: float, generator: torch.Generator) -> Tensor | None:
        """The map's values after uniform noise of at most `radius`; None if there was no time for it."""
        picture = self.question.picture
        noise = radius * (2 * torch.rand(picture.shape, generator=generator) - 1)
        changed = (picture + noise).clamp(0, 1)
        own = self._passes.with_budget(self._budget, self._row.evaluations)
        looking = own.unlimited()
        logits, maps = (await looking.look(changed[None])).row(0)
        attribution = await self._row.explain(own, replace(self.question, picture=changed, logits=logits, maps=maps))
        self.forward_evaluations += own.forward_evaluations + looking.forward_evaluations
        self.gradient_evaluations += own.gradient_evaluations
        self.late |= attribution.stopped_by == DEADLINE
        return None if self.late else check_finite(attribution.values, "the map of a changed picture")


async def sensitivity(repetition: Repetition, attribution: Attribution) -> float | None:
    """Sensitivity-max: max over changes |d| <= 0.02 of ||map(x + d) - map(x)|| / ||map(x)||; 0 is a map that stays.

    Yeh et al., arXiv:1901.09392. The maximum over a few random changes: a lower bound of the true one.

    Returns:
        None if the map is 0 everywhere, or if time was over.
    """
    values = attribution.values.double()
    size = float(values.norm())
    if not size:
        return None
    generator = repetition.question.generator()
    largest = 0.0
    for _ in range(SENSITIVITY_CHANGES):
        changed = await repetition.values(_SENSITIVITY_RADIUS, generator)
        if changed is None:
            return None
        largest = max(largest, float((changed.double() - values).norm()) / size)
    return largest


async def stability(repetition: Repetition, attribution: Attribution) -> v1.Stability | None:
    """The map compared with that of the picture plus uniform noise of half a grey level.

    Returns:
        None if time was over.
    """
    changed = await repetition.values(_ROUNDING, repetition.question.generator())
    if changed is None:
        return None
    before, after = (channels_summed(values) for values in (attribution.values, changed))
    return v1.Stability(rank_correlation=rank_correlation(before, after), top_overlap=top_overlap(before, after))
