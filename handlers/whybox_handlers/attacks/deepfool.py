"""DeepFool (Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599)."""

import math

import torch

from whybox_handlers.attacks.minimal import MinimalAttack
from whybox_handlers.attacks.search import Search

# The paper's number of classes in the running; a small budget affords fewer.
_RIVALS = 10
_STEPS = 8
# A step goes this far beyond the linearised boundary: the paper adds it at the end.
_OVERSHOOT = 1.02


class DeepFool(MinimalAttack):
    """Steps onto the nearest of the linearised boundaries with several classes until the answer flips."""

    name = "deepfool"
    summary = "Steps onto the nearest linearised boundary until the answer flips."
    reference = "Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599"

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`; ends at the first flip."""
        norm = search.norm
        rivals = search.rivals(max(1, min(_RIVALS, search.evaluations // _STEPS)))
        change = torch.zeros_like(search.picture)
        while not math.isfinite(search.smallest):
            looks = await search.look_at_rivals(change, rivals)
            steps = [
                (abs(look.margin) / steepness, look)
                for look in looks
                if 0 < (steepness := norm.steepness(look.gradient)) < math.inf
            ]
            if not steps:
                search.stopped_by = "flat"
                return
            length, look = min(steps, key=lambda step: step[0])
            change = search.boxed(change - _OVERSHOOT * length * norm.steepest(look.gradient))
