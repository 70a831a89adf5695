"""Square attack (Andriushchenko et al., ECCV 2020, arXiv:1912.00049): random search without gradients."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search


class Square(MinimalAttack):
    """Squares of one colour at random places; a square that lowers the margin stays.

    The paper's radius is fixed; here it doubles until something flips and shrinks with every flip. In L2 the paper
    exchanges windows; here a square is added and the whole change is scaled to the radius.

    Attributes:
        first_radius: By norm, for values in [0, 1].
        largest_radius: By norm: the radius doubles up to here.
        patience: The radius doubles after this many squares without a flip.
        shrink: The radius after a flip, in multiples of the smallest flip so far.
        first_share: Share of the picture's area that the first square covers, 0 to 1.
        halvings: Shares of the budget, 0 to 1, after which the covered share is halved; the paper's points.
    """

    name = "square"
    summary = "Random squares that lower the margin; needs no gradients."
    reference = "Andriushchenko et al., ECCV 2020, arXiv:1912.00049"
    evaluations = "forward"
    first_radius: Mapping[str, float] = {"linf": 1 / 255, "l2": 0.5}
    largest_radius: Mapping[str, float] = {"linf": 1.0, "l2": 100.0}
    patience: int = 3
    shrink: float = 0.9
    first_share: float = 0.05
    halvings: tuple[float, ...] = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        norm, generator = search.norm, search.generator()
        radius = self.first_radius[norm.name]
        shape = _stripes(search.picture, generator)
        change, lowest, tried = self._scaled(search, shape, radius), math.inf, 0
        candidate = shape
        while True:
            change = self._scaled(search, candidate, radius)
            smallest = search.smallest
            margin = await search.margin(change)
            tried += 1
            if margin < lowest:
                shape, lowest = candidate, margin
            if search.smallest < smallest:
                radius, lowest, tried = search.smallest * self.shrink, math.inf, 0
            elif math.isinf(search.smallest) and tried % self.patience == 0 and radius < self.largest_radius[norm.name]:
                radius, lowest = min(2 * radius, self.largest_radius[norm.name]), math.inf
            candidate = shape if math.isinf(lowest) else self._with_square(shape, search.progress, generator)

    def _scaled(self, search: Search, shape: Tensor, radius: float) -> Tensor:
        """The change of that shape and size."""
        return search.boxed(shape * (radius / search.norm.size(shape)))

    def _with_square(self, shape: Tensor, progress: float, generator: torch.Generator) -> Tensor:
        """The shape with a square of -1 or 1 in each channel at a random place."""
        _, height, width = shape.shape
        share = self.first_share / 2 ** sum(progress >= halving for halving in self.halvings)
        side = max(1, min(round(math.sqrt(share * height * width)), height, width))
        top = int(torch.randint(0, height - side + 1, (1,), generator=generator))
        left = int(torch.randint(0, width - side + 1, (1,), generator=generator))
        changed = shape.clone()
        signs = torch.randint(0, 2, (shape.shape[0], 1, 1), generator=generator) * 2.0 - 1
        changed[:, top : top + side, left : left + side] = signs
        return changed


def _stripes(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Vertical stripes of -1 and 1, one pixel wide, [3, H, W]."""
    channels, height, width = picture.shape
    signs = torch.randint(0, 2, (channels, 1, width), generator=generator) * 2.0 - 1
    return signs.expand(-1, height, -1).clone()
