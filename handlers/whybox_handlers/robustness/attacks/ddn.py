"""Decoupled direction and norm (Rony et al., CVPR 2019, arXiv:1811.09600)."""

import torch

from whybox_handlers.robustness.attacks.fmn import annealed
from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import SMALLEST, Search


class DDN(MinimalAttack):
    """Follows the gradient on a sphere that shrinks after a flip and grows otherwise.

    The paper begins with the radius 1; here the first radius is the linear estimate of the distance.

    Attributes:
        step_lengths: First and last step, in multiples of the radius.
        growth: Share by which the radius grows or shrinks in each step, as in the paper.
        full_budget: With fewer evaluations than this, `growth` is multiplied by the root of the ratio.
        first_rivals: At most this many runners-up are looked at first, one evaluation for each.
        share_for_first: At most this share of the budget is spent on them, 0 to 1.
    """

    name = "ddn"
    summary = "Follows the gradient on a sphere that shrinks after a flip and grows otherwise."
    reference = "Rony et al., CVPR 2019, arXiv:1811.09600"
    norms = ("l2",)
    step_lengths: tuple[float, float] = (1.0, 0.05)
    growth: float = 0.05
    full_budget: int = 30
    first_rivals: int = 10
    share_for_first: float = 0.4

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        growth = self.growth * max(1.0, self.full_budget / search.evaluations) ** 0.5
        change = torch.zeros_like(search.picture)
        look = await search.look_at_nearest(self.first_rivals, self.share_for_first)
        radius = look.ahead
        while True:
            change = change + annealed(self.step_lengths, search.progress) * radius * look.direction
            # A change that the box cuts down to nothing cannot be scaled to the radius; it stays 0.
            change = search.boxed(change * (radius / max(search.norm.size(change), SMALLEST)))
            look = await search.look(change)
            radius *= 1 - growth if look.flipped else 1 + growth
