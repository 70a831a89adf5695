"""Fast minimum-norm attack (Pintor et al., NeurIPS 2021, arXiv:2102.12827), for small budgets."""

import math

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search


class FMN(MinimalAttack):
    """Walks along the decision boundary while the allowed radius follows it.

    The paper shrinks the radius by a fixed share after a flip and lets it grow otherwise. Here the radius is set, at
    every step, to where the linearised network has its boundary: a dozen evaluations leave none for finding the order
    of magnitude. Gradients are averaged, because the signs of single gradients flicker along the boundary; averaging
    halves the excess over the smallest distance that a dozen evaluations leave. The change is projected in every norm
    (Foolbox 3.3 does not project in L2).

    Attributes:
        step_lengths: First and last step, in multiples of the radius.
        margins: First and last share by which the radius stays below the smallest flip so far.
        shrinkage: After a flip the radius shrinks by this multiple of the way back to the linearised boundary. The
            direction improves with each step, so that the boundary mostly turns out to be nearer than it seems.
        memory: Weight of the gradients so far in the average, 0 (only the new one) to 1.
        first_rivals: At most this many runners-up are looked at first, one evaluation for each.
        share_for_first: At most this share of the budget is spent on them, 0 to 1.
    """

    name = "fmn"
    summary = "Walks along the decision boundary towards the picture, in few steps."
    reference = "Pintor et al., NeurIPS 2021, arXiv:2102.12827"
    step_lengths: tuple[float, float] = (4.0, 0.7)
    margins: tuple[float, float] = (0.02, 0.005)
    shrinkage: float = 2.0
    memory: float = 0.5
    first_rivals: int = 10
    share_for_first: float = 0.4

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        norm = search.norm
        change = torch.zeros_like(search.picture)
        average = torch.zeros_like(search.picture)
        look = await search.look_at_nearest(self.first_rivals, self.share_for_first)
        while True:
            size = norm.size(change)
            radius = max(size + self.shrinkage * look.ahead, size / 2) if look.flipped else size + look.ahead
            if math.isfinite(search.smallest):
                radius = min(radius, search.smallest * (1 - annealed(self.margins, search.progress)))
            average = self.memory * average + (1 - self.memory) * look.gradient / look.steepness
            step = annealed(self.step_lengths, search.progress) * radius
            change = search.boxed(norm.projected(change - step * norm.steepest(average), radius))
            look = await search.look(change)


def annealed(ends: tuple[float, float], progress: float) -> float:
    """Cosine from the first value (progress 0) to the last (1)."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
