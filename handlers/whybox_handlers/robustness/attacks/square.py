"""Square attack (Andriushchenko et al., ECCV 2020, arXiv:1912.00049): random search without gradients."""

import math

import torch
from torch import Tensor

from whybox_handlers.robustness.attacks.minimal import MinimalAttack
from whybox_handlers.robustness.attacks.search import Search

# The first radius; it doubles until something flips, or until the whole range of values is used.
_FIRST_RADIUS = {"linf": 1 / 255, "l2": 0.5}
_LARGEST_RADIUS = {"linf": 1.0, "l2": 100.0}
# Share of the picture that the first square covers; it is halved as the search goes on, at the paper's points.
_SHARE = 0.05
_HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
# Squares that are tried without a flip before the radius doubles.
_PATIENCE = 3
_SHRINK = 0.9


class Square(MinimalAttack):
    """Squares of one colour at random places; what lowers the margin stays.

    The paper has one radius; here it doubles until something flips and shrinks with every flip. In L2 a square is added
    and the whole change scaled to the radius, in the place of the paper's exchange of windows.
    """

    name = "square"
    summary = "Random squares that lower the margin; needs no gradients."
    reference = "Andriushchenko et al., ECCV 2020, arXiv:1912.00049"
    evaluations = "forward"

    async def search(self, search: Search) -> None:
        """See `MinimalAttack.search`."""
        norm, generator = search.norm, search.generator()
        radius = _FIRST_RADIUS[norm.name]
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
                radius, lowest, tried = search.smallest * _SHRINK, math.inf, 0
            elif math.isinf(search.smallest) and tried % _PATIENCE == 0 and radius < _LARGEST_RADIUS[norm.name]:
                radius, lowest = min(2 * radius, _LARGEST_RADIUS[norm.name]), math.inf
            candidate = shape if math.isinf(lowest) else _with_square(shape, search.progress, generator)

    def _scaled(self, search: Search, shape: Tensor, radius: float) -> Tensor:
        """The change of that shape and size."""
        return search.boxed(shape * (radius / search.norm.size(shape)))


def _stripes(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Vertical stripes of -1 and 1, one pixel wide, [3, H, W]."""
    channels, height, width = picture.shape
    signs = torch.randint(0, 2, (channels, 1, width), generator=generator) * 2.0 - 1
    return signs.expand(-1, height, -1).clone()


def _with_square(shape: Tensor, progress: float, generator: torch.Generator) -> Tensor:
    """The shape with a square of -1 or 1 in each channel at a random place."""
    _, height, width = shape.shape
    share = _SHARE / 2 ** sum(progress >= halving for halving in _HALVINGS)
    side = max(1, min(round(math.sqrt(share * height * width)), height, width))
    top = int(torch.randint(0, height - side + 1, (1,), generator=generator))
    left = int(torch.randint(0, width - side + 1, (1,), generator=generator))
    changed = shape.clone()
    signs = torch.randint(0, 2, (shape.shape[0], 1, 1), generator=generator) * 2.0 - 1
    changed[:, top : top + side, left : left + side] = signs
    return changed
