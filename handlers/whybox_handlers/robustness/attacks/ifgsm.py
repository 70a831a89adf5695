"""Iterative fast gradient sign method (Kurakin et al., arXiv:1607.02533), the attack of Stock & Cisse."""

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search

# First step, in multiples of the linear guess of the whole way.
_FIRST_STEP = 0.5


class IterativeFGSM(MinimalAttack):
    """Steps of one length, each along the sign of the gradient (in L2: the gradient), until the answer flips.

    The paper's step is the same for all pictures. Here it is half of the linear guess of the distance, and while the
    budget lasts the walk begins again with half the step: the path gets finer, and its end nearer.
    """

    name = "i_fgsm"
    summary = "Equal steps along the gradient's sign until the answer flips, then again with half the step."
    reference = "Kurakin et al., arXiv:1607.02533"

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        first = await search.look(torch.zeros_like(search.picture))
        step = _FIRST_STEP * first.ahead
        while True:
            look, change = first, torch.zeros_like(search.picture)
            while search.norm.size(change) < search.smallest:
                change = search.boxed(change + step * look.direction)
                look = await search.look(change)
                if look.flipped:
                    break
            step /= 2
