"""RISE: the objective under random masks (Petsiuk et al., arXiv:1806.07421)."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from whybox.v1 import errors
from whybox_handlers.explanations.explainers import removal
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.passes.account import Passes, StoppedBy

# Cells of a mask to each side, and the share of them that is kept: the paper's values for 224 x 224 pixels.
_CELLS = 7
_KEPT = 0.5
_BATCH = 16
# With fewer masks the standard error itself is too uncertain to stop by.
_FEWEST = 128


async def rise(passes: Passes, question: Question) -> Attribution:
    """E[f(m * x + (1 - m) * b) | m keeps the pixel] - E[f(m * x + (1 - m) * b)], [H, W], over random masks m.

    The estimate is cov(f, m) / E[m]. The paper weights masks by the class's probability; here f is the objective in
    logits, which does not saturate and allows contrasts. Logits have no natural zero, so the mean of f is subtracted.
    This shifts the paper's map by the same amount at all pixels, and removes the noise of that constant. 0 is a pixel
    that makes no difference.

    Masks are the paper's: 7 x 7 cells, each kept with probability 1/2, enlarged bilinearly to 8/7 of the picture and
    shifted at random. The residual is the standard error of the covariance as a share of the map; it falls with the
    root of the number of masks. Masks that change the objective by no more than rounding have shown nothing: then the
    map is 0 and the residual is unknown.

    Raises:
        DeadlineExceededError: The deadline passed before the first masks.
    """
    sums = _Sums(question.picture.shape[-2:], removal.rounding_of(question))
    generator = question.generator()
    while granted := removal.grant(passes, question, _BATCH):
        kept = masks(granted.count, question.picture.shape[-2:], generator)
        # Subtracting a constant changes no covariance, and keeps the sums of squares small.
        sums.add(kept, await removal.value_of(passes, question, kept) - question.value)
        if question.options.tolerance and sums.count >= _FEWEST:
            residual = sums.residual()
            if residual is not None and residual <= question.options.tolerance:
                return sums.attribution("tolerance")
    if not sums.count:
        raise errors.DeadlineExceededError("the deadline passed before the first masks; allow more time")
    return sums.attribution(granted.stopped_by)


def masks(count: int, size: torch.Size, generator: torch.Generator) -> Tensor:
    """Random masks [count, H, W] in [0, 1]; every pixel has the mean 1/2."""
    cells = (torch.rand(count, _CELLS, _CELLS, generator=generator) < _KEPT).float()
    across = [_enlargement(length)[_shifts(count, length, generator)] for length in size]
    return across[0] @ cells @ across[1].mT


def _shifts(count: int, length: int, generator: torch.Generator) -> Tensor:
    """[count, length]: consecutive rows of the enlargement, from a random one on within the first cell."""
    first = torch.randint(-(-length // _CELLS), (count, 1), generator=generator)
    return first + torch.arange(length)


@cache
def _enlargement(length: int) -> Tensor:
    """[(cells + 1) * ceil(length / cells), cells]: bilinear interpolation of a row of cells."""
    enlarged = (_CELLS + 1) * -(-length // _CELLS)
    return interpolate(torch.eye(_CELLS)[None], size=enlarged, mode="linear")[0].T.contiguous()


class _Sums:
    """Over masks m and values f: moments of d = m - E[m] and f, pixel by pixel, and what follows from them."""

    def __init__(self, size: torch.Size, rounding: float) -> None:
        self.count = 0
        self._rounding = rounding
        self._lowest, self._highest = math.inf, -math.inf
        self._d_by_f = torch.zeros(2, *size, dtype=torch.float64)  # sums of d, d f
        self._dd_by_ff = torch.zeros(3, *size, dtype=torch.float64)  # sums of d^2, d^2 f, d^2 f^2
        self._f = 0.0

    def add(self, kept: Tensor, values: Tensor) -> None:
        """Adds masks [N, H, W] and their values [N]."""
        powers = torch.stack([torch.ones_like(values), values, values**2]).float()
        deviations = kept - _KEPT
        self._d_by_f += torch.tensordot(powers[:2], deviations, dims=1)
        self._dd_by_ff += torch.tensordot(powers, deviations**2, dims=1)
        self._f += float(values.sum())
        self._lowest = min(self._lowest, float(values.min()))
        self._highest = max(self._highest, float(values.max()))
        self.count += len(values)

    def map(self) -> Tensor:
        """cov(f, m) / E[m], [H, W]; 0 if f differed by no more than rounding."""
        d, df = self._d_by_f / self.count
        if self._highest - self._lowest <= self._rounding:
            return torch.zeros_like(d)
        covariance: Tensor = df - self._f / self.count * d
        return covariance / _KEPT

    def errors(self) -> Tensor:
        """Standard errors of the map, [H, W]: it is a mean of (f - mean f) d / E[m]."""
        mean = self._f / self.count
        dd, ddf, ddff = self._dd_by_ff / self.count
        squares: Tensor = (ddff - 2 * mean * ddf + mean**2 * dd) / _KEPT**2
        return ((squares - self.map() ** 2).clamp(min=0) / max(self.count - 1, 1)).sqrt()

    def residual(self) -> float | None:
        """See `removal.residual_of`."""
        return removal.residual_of(self.map(), self.errors())

    def attribution(self, stopped_by: StoppedBy) -> Attribution:
        """The map of the masks so far."""
        return Attribution(self.map().float(), "relative", signed=True, stopped_by=stopped_by, residual=self.residual())
