"""How alike two maps are."""

import math

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor

from whybox import v1
from whybox_handlers.explanations.maps.pixels import channels_summed
from whybox_handlers.explanations.maps.ranks import rank_correlation

_TOP = 0.05
# The usual window of structural similarity.
_WINDOW = 7


def map_similarity(one: Tensor, other: Tensor) -> v1.MapSimilarity:
    """SSIM, overlap of the 5 % largest values and rank correlation of two maps of one shape, [H, W] or [3, H, W].

    For SSIM (Wang et al., IEEE TIP 2004) each map is scaled by its largest absolute value, so that only its form
    counts. SSIM compares intensities, so maps with negative values are both lifted until the lowest value is 0;
    otherwise a map would resemble its negative. SSIM is the mean over windows of 7 x 7 cells; the cells of a map with
    fewer than 7 cells a side are repeated until they fill one window.

    1 means the same map, in all three. A map with one value everywhere orders nothing: its rank correlation with any
    map is 0. Among equal values, the first count as the largest.
    """
    first, second = (channels_summed(values) for values in (one, other))
    return v1.MapSimilarity(
        ssim=_ssim(first, second),
        top_overlap=top_overlap(first, second),
        rank_correlation=rank_correlation(first, second),
    )


def top_overlap(one: Tensor, other: Tensor) -> float:
    """Share of the 5 % largest values that two maps have in common, 0 to 1."""
    count = math.ceil(_TOP * one.numel())
    tops = [set(values.flatten().argsort(descending=True, stable=True)[:count].tolist()) for values in (one, other)]
    return len(tops[0] & tops[1]) / count


def _ssim(one: Tensor, other: Tensor) -> float:
    scaled = [(values / values.abs().max().clamp(min=1e-30)).double().numpy() for values in (one, other)]
    lowest = min(0.0, *(float(values.min()) for values in scaled))
    cells = np.ones([math.ceil(_WINDOW / side) for side in one.shape])
    lifted = [np.kron(values - lowest, cells) for values in scaled]
    return float(structural_similarity(*lifted, win_size=_WINDOW, data_range=1.0 - lowest))  # type: ignore[no-untyped-call]
