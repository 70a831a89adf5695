"""A map as one value per pixel of the view, whatever its own resolution."""

from torch import Tensor, nn

from whybox_handlers.explainers import Attribution


def importance(attribution: Attribution, picture: Tensor) -> Tensor:
    """Channels summed, cells spread bilinearly: what a heat map shows, before it is coloured.

    Args:
        attribution: The map.
        picture: [3, H, W]: the view that it lies over.

    Returns:
        [H, W] float32; large where much speaks for the target.
    """
    values = attribution.values
    per_cell = values.sum(dim=0) if values.dim() == 3 else values
    if per_cell.shape == picture.shape[1:]:
        return per_cell
    return nn.functional.interpolate(per_cell[None, None], picture.shape[1:], mode="bilinear")[0, 0]
