"""Maps that are means over random samples, drawn until the mean is good enough or there is no more to spend."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from whybox_handlers.passes.account import Passes, StoppedBy

BATCH = 4
"""Samples between two looks at the residual; fewer would not give a usable standard error."""


@dataclass(frozen=True)
class SampleMean:
    """A mean over random samples.

    Attributes:
        values: [...] mean map; float32.
        residual: Standard error of the mean as a share of the mean, both as roots of sums of squares over the map:
            sqrt(sum_p s_p^2 / n) / sqrt(sum_p mean_p^2), with the unbiased variance s_p^2 of the n samples at place p.
            0 for samples that are all the same; 1 if the noise is as strong as the map. None for a mean that is 0
            everywhere: it has no size to be compared with, and samples that saw nothing prove nothing.
        stopped_by: "tolerance", "evaluations" or "deadline".
    """

    values: Tensor
    residual: float | None
    stopped_by: StoppedBy


async def sample_mean(
    passes: Passes,
    tolerance: float,
    draw: Callable[[int], Awaitable[Tensor]],
    trusted: Callable[[], bool] = lambda: True,
) -> SampleMean:
    """Draws batches until the residual is at most `tolerance` or the passes grant no more; at least one batch.

    Args:
        passes: Grants the samples, each at one evaluation.
        tolerance: The residual that is good enough; 0 takes all samples that are granted.
        draw: Makes a number of new samples, [n, ...].
        trusted: Whether the residual of the samples so far may end the draws.
    """
    count, wanted = 0, BATCH
    # In float64, because the variance is a difference of large sums.
    total, squares = torch.zeros((), dtype=torch.float64), 0.0
    while True:
        samples = (await draw(wanted)).double()
        count += len(samples)
        total = total + samples.sum(dim=0)
        squares += float(samples.square().sum())
        residual = _residual(float((total / count).square().sum()), squares / count, count)
        if tolerance and residual is not None and residual <= tolerance and trusted():
            return SampleMean((total / count).float(), residual, "tolerance")
        granted = passes.grant(BATCH)
        if not granted:
            return SampleMean((total / count).float(), residual, granted.stopped_by)
        wanted = granted.count


def _residual(square_of_mean: float, mean_of_squares: float, count: int) -> float | None:
    if square_of_mean == 0:
        return None
    variance = max(mean_of_squares - square_of_mean, 0.0) / (count - 1)
    return float((variance / square_of_mean) ** 0.5)
