"""Auto-PGD (Croce and Hein, ICML 2020, arXiv:2003.01690), targeted at the runners-up, in a shrinking ball."""

import math

import torch
from torch import Tensor

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search


class APGD(MinimalAttack):
    """Projected gradient steps against one runner-up after the other.

    The first step is twice the radius. The step is halved, and the walk starts again from the best point, whenever too
    few of the last steps have lowered the margin. The paper's ball has a fixed radius; here it shrinks with every flip
    and grows while there is none. The paper's loss is a ratio of differences of logits; here it is the numerator, the
    margin, which near the boundary leads the same way.

    Attributes:
        targets: At most this many runners-up are attacked; the paper's number.
        steps_per_target: Evaluations for each target; a smaller budget attacks fewer targets.
        momentum: Weight of the new step against the last one, 0 to 1; the paper's value.
        helping: Share of the last steps that must have lowered the margin, 0 to 1; the paper's value.
        growth: The first radius in multiples of the linear estimate of the distance, and what it is multiplied by while
            nothing flips.
        shrink: The radius after a flip, in multiples of the smallest flip so far.
    """

    name = "apgd"
    summary = "Projected gradient steps of adaptive length against the runners-up, in a ball that shrinks."
    reference = "Croce and Hein, ICML 2020, arXiv:2003.01690"
    targets: int = 9
    steps_per_target: int = 12
    momentum: float = 0.75
    helping: float = 0.75
    growth: float = 1.5
    shrink: float = 0.98

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        targets = search.rivals(max(1, min(self.targets, search.evaluations // self.steps_per_target)))
        for remaining, target in zip(range(len(targets), 0, -1), targets, strict=True):
            # The last target gets the rest of the budget, and one step more to find out that the budget is spent.
            steps = search.left + 1 if remaining == 1 else search.left // remaining
            await self._attack(search, target, steps)

    async def _attack(self, search: Search, target: int, steps: int) -> None:
        """Spends `steps` on one target."""
        change = previous = torch.zeros_like(search.picture)
        best, lowest = previous, math.inf
        [look] = await search.look_at_rivals(change, [target])
        best_look = look
        radius = min(self.growth * look.ahead, search.smallest * self.shrink)
        length = 2 * radius
        checkpoint, helped, since = max(2, steps // 4), 0, 0
        for _ in range(steps - 1):
            change, previous = self._step(search, change, previous, look.direction, length, radius), change
            [look] = await search.look_at_rivals(change, [target])
            helped += look.margin < lowest
            since += 1
            if look.margin < lowest:
                lowest, best, best_look = look.margin, change, look
            if look.flipped:
                radius = min(radius, search.smallest * self.shrink)
            if since < checkpoint:
                continue
            if math.isinf(search.smallest):
                # Nothing flips in this ball: a larger one, and longer steps.
                radius, length = self.growth * radius, self.growth * length
            else:
                if helped < self.helping * since:
                    length /= 2
                    change = previous = best
                    look = best_look
                lowest = math.inf
            helped = since = 0

    def _step(
        self, search: Search, change: Tensor, previous: Tensor, direction: Tensor, length: float, radius: float
    ) -> Tensor:
        plain = search.norm.projected(change + length * direction, radius)
        mixed = change + self.momentum * (plain - change) + (1 - self.momentum) * (change - previous)
        return search.boxed(search.norm.projected(mixed, radius))
