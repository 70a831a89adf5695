"""DeepFool (Moosavi-Dezfooli et al., CVPR 2016, arXiv:1511.04599)."""

import math

import torch

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search

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
        rivals = search.rivals(max(1, min(_RIVALS, search.evaluations // _STEPS)))
        change = torch.zeros_like(search.picture)
        while not math.isfinite(search.smallest):
            look = min(await search.look_at_rivals(change, rivals), key=lambda look: abs(look.ahead))
            change = search.boxed(change + _OVERSHOOT * abs(look.ahead) * look.direction)
