"""A map as one value per pixel of the view, whatever its own resolution."""

import torch
from torch import Tensor, nn

from whybox_handlers.explanations.explainers import Attribution


def channels_summed(values: Tensor) -> Tensor:
    """[3, H, W] or [H, W] values of a map to [H, W]."""
    return values.sum(dim=0) if values.dim() == 3 else values


def importance(attribution: Attribution, picture: Tensor) -> Tensor:
    """Channels summed, cells spread bilinearly: the values that a heat map shows, before it is coloured.

    Args:
        attribution: The map.
        picture: [3, H, W]: the view that it lies over.

    Returns:
        [H, W] float32; large where much speaks for the target.
    """
    per_cell = channels_summed(attribution.values)
    if per_cell.shape == picture.shape[1:]:
        return per_cell
    return nn.functional.interpolate(per_cell[None, None], picture.shape[1:], mode="bilinear")[0, 0]


def displaced(values: Tensor, times: int, generator: torch.Generator) -> list[Tensor]:
    """The map [H, W] shifted to random places; values that leave at one edge come in at the other.

    The shifted map keeps its detail, from single pixels to blobs, and loses the places of the evidence: it looks like a
    map without knowledge. Pixels in random order would be no fair opponent of a map of regions, because single pixels
    scattered everywhere confuse a network sooner than any region.
    """
    height, width = values.shape
    downs = torch.randint(height, (times,), generator=generator).tolist()
    rights = torch.randint(width, (times,), generator=generator).tolist()
    return [values.roll(shift, (0, 1)) for shift in zip(downs, rights, strict=True)]
