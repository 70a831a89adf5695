"""Decoupled direction and norm (Rony et al., CVPR 2019, arXiv:1811.09600)."""

import torch

from whybox_handlers.robustness.attacks.fmn import annealed
from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import SMALLEST, Search

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
        gamma = _GAMMA * max(1.0, _FEW / search.evaluations) ** 0.5
        change = torch.zeros_like(search.picture)
        look = await search.look_at_nearest()
        radius = look.ahead
        while True:
            change = change + annealed(_ALPHA, search.progress) * radius * look.direction
            # Where the box leaves nothing of it, it stays what it is.
            change = search.boxed(change * (radius / max(search.norm.size(change), SMALLEST)))
            look = await search.look(change)
            radius *= 1 - gamma if look.flipped else 1 + gamma
