"""Auto-PGD (Croce and Hein, ICML 2020, arXiv:2003.01690), targeted at the runners-up, in a shrinking ball."""

import math

import torch
from torch import Tensor

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search

# The paper's nine targets, where the budget gives each of them so many steps.
_TARGETS = 9
_STEPS = 12
# The paper's weight of the new step against the last one, and share of steps that must help.
_MOMENTUM = 0.75
_HELPING = 0.75
# The ball is this much larger than the linear guess, and grows by as much while nothing flips; after a flip it is this
# much smaller.
_BEYOND = 1.5
_SHRINK = 0.98


class APGD(MinimalAttack):
    """Projected gradient steps against one runner-up after the other.

    The step begins with twice the radius and is halved, with a new start from the best point, whenever too few of the
    last steps have helped. Instead of a ball of fixed radius the search has one that shrinks with every flip, and grows
    while there is none. The paper's loss is a ratio of differences of logits; here it is the numerator, the margin,
    which near the boundary leads the same way.
    """

    name = "apgd"
    summary = "Projected gradient steps of adaptive length against the runners-up, in a ball that shrinks."
    reference = "Croce and Hein, ICML 2020, arXiv:2003.01690"

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        targets = search.rivals(max(1, min(_TARGETS, search.evaluations // _STEPS)))
        for remaining, target in zip(range(len(targets), 0, -1), targets, strict=True):
            # The last target has all that is left, and one step more to notice that nothing is.
            steps = search.left + 1 if remaining == 1 else search.left // remaining
            await self._attack(search, target, steps)

    async def _attack(self, search: Search, target: int, steps: int) -> None:
        """Spends `steps` on one target."""
        change = previous = torch.zeros_like(search.picture)
        best, lowest = previous, math.inf
        [look] = await search.look_at_rivals(change, [target])
        best_look = look
        radius = min(_BEYOND * look.ahead, search.smallest * _SHRINK)
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
                radius = min(radius, search.smallest * _SHRINK)
            if since < checkpoint:
                continue
            if math.isinf(search.smallest):
                # Nothing flips in here: a larger ball, and steps that fit it.
                radius, length = _BEYOND * radius, _BEYOND * length
            else:
                if helped < _HELPING * since:
                    length /= 2
                    change = previous = best
                    look = best_look
                lowest = math.inf
            helped = since = 0

    def _step(
        self, search: Search, change: Tensor, previous: Tensor, direction: Tensor, length: float, radius: float
    ) -> Tensor:
        plain = search.norm.projected(change + length * direction, radius)
        mixed = change + _MOMENTUM * (plain - change) + (1 - _MOMENTUM) * (change - previous)
        return search.boxed(search.norm.projected(mixed, radius))
