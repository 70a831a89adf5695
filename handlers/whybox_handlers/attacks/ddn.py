"""Decoupled direction and norm (Rony et al., CVPR 2019, arXiv:1811.09600)."""

import math

import torch

from whybox_handlers.attacks.fmn import annealed
from whybox_handlers.attacks.minimal import MinimalAttack
from whybox_handlers.attacks.search import Search

# Step length in multiples of the radius, first and last.
_ALPHA = (1.0, 0.05)
# By which share the radius grows or shrinks: the paper's, made larger for small budgets.
_GAMMA = 0.05
_FEW = 30


class DDN(MinimalAttack):
    """Follows the gradient on a sphere that shrinks after a flip and grows otherwise.

    The paper begins with the radius 1; here it is the linear guess of the distance.
    """

    name = "ddn"
    summary = "Follows the gradient on a sphere that shrinks after a flip and grows otherwise."
    reference = "Rony et al., CVPR 2019, arXiv:1811.09600"
    norms = ("l2",)

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        norm = search.norm
        gamma = _GAMMA * max(1.0, _FEW / search.evaluations) ** 0.5
        change = torch.zeros_like(search.picture)
        radius = 0.0
        while True:
            progress = search.progress
            look = await search.look(change)
            steepness = norm.steepness(look.gradient)
            if not 0 < steepness < math.inf:
                search.stopped_by = "flat"
                return
            if not radius:
                radius = abs(look.margin) / steepness
            else:
                radius *= 1 - gamma if look.flipped else 1 + gamma
            step = annealed(_ALPHA, progress) * radius
            change = change - step * norm.steepest(look.gradient)
            change = search.boxed(change * (radius / norm.size(change)))
