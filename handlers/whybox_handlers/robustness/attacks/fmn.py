"""Fast minimum-norm attack (Pintor et al., NeurIPS 2021, arXiv:2102.12827), for small budgets."""

import math

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search

# Step length in multiples of the radius, first and last.
_ALPHA = (2.0, 0.4)
# Share by which the radius stays below the smallest flip so far, first and last.
_GAMMA = (0.02, 0.005)
# Until the first flip the radius goes a little beyond the linear guess, which mostly falls short.
_BEYOND = 1.02
# Weight of the gradients so far: signs of single gradients flicker along the boundary.
_MEMORY = 0.5


class FMN(MinimalAttack):
    """Walks along the decision boundary while the allowed radius follows it.

    The paper shrinks the radius by a fixed share after a flip and lets it grow otherwise. Here it is set, at every
    step, to where the linearised network has its boundary: with a dozen evaluations none is left for finding the order
    of magnitude. Gradients are averaged, which halves what a dozen evaluations miss. The change is projected in every
    norm (Foolbox 3.3 does not in L2).
    """

    name = "fmn"
    summary = "Walks along the decision boundary towards the picture, in few steps."
    reference = "Pintor et al., NeurIPS 2021, arXiv:2102.12827"

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        norm = search.norm
        change = torch.zeros_like(search.picture)
        average = torch.zeros_like(search.picture)
        look = await search.look_at_nearest()
        while True:
            size = norm.size(change)
            boundary = size + look.ahead
            if look.flipped:
                boundary = max(boundary, size / 2)
            if math.isfinite(search.smallest):
                radius = min(boundary, search.smallest * (1 - annealed(_GAMMA, search.progress)))
            else:
                radius = boundary * _BEYOND
            average = _MEMORY * average + (1 - _MEMORY) * look.gradient / look.steepness
            step = annealed(_ALPHA, search.progress) * radius
            change = search.boxed(norm.projected(change - step * norm.steepest(average), radius))
            look = await search.look(change)


def annealed(ends: tuple[float, float], progress: float) -> float:
    """Cosine from the first value (progress 0) to the last (1)."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
