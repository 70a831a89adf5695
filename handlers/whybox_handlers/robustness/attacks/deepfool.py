"""DeepFool (Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599)."""

import math

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search


class DeepFool(MinimalAttack):
    """Steps onto the nearest of the linearised boundaries with several classes until the answer flips.

    Attributes:
        rivals: At most this many classes are compared in each step, one evaluation for each; the paper's number.
        planned_steps: The budget is shared among this many steps, so that a small one compares fewer classes.
        overshoot: Length of a step in multiples of the way to the linearised boundary. The paper enlarges the whole
            change at its end instead.
    """

    name = "deepfool"
    summary = "Steps onto the nearest linearised boundary until the answer flips."
    reference = "Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599"
    rivals: int = 10
    planned_steps: int = 8
    overshoot: float = 1.02

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`; ends at the first flip."""
        rivals = search.rivals(max(1, min(self.rivals, search.evaluations // self.planned_steps)))
        change = torch.zeros_like(search.picture)
        while not math.isfinite(search.smallest):
            look = min(await search.look_at_rivals(change, rivals), key=lambda look: abs(look.ahead))
            change = search.boxed(change + self.overshoot * abs(look.ahead) * look.direction)
