"""Iterative fast gradient sign method (Kurakin et al., arXiv:1607.02533), the attack of Stock & Cisse."""

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search


class IterativeFGSM(MinimalAttack):
    """Steps of one length, each along the sign of the gradient (in L2: the gradient), until the answer flips.

    The paper's step is the same for all pictures. Here the first step is half of the linear estimate of the distance.
    While the budget lasts, the walk begins again with half the step: the path gets finer, and its end nearer.

    Attributes:
        first_step: In multiples of the linear estimate of the distance.
        refinement: By which the step is multiplied before each new walk, between 0 and 1.
    """

    name = "i_fgsm"
    summary = "Equal steps along the gradient's sign until the answer flips, then again with half the step."
    reference = "Kurakin et al., arXiv:1607.02533"
    first_step: float = 0.5
    refinement: float = 0.5

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        first = await search.look(torch.zeros_like(search.picture))
        step = self.first_step * first.ahead
        while True:
            look, change = first, torch.zeros_like(search.picture)
            while search.norm.size(change) < search.smallest:
                change = search.boxed(change + step * look.direction)
                look = await search.look(change)
                if look.flipped:
                    break
            step *= self.refinement
