"""Maps as PNG files, in the same colours as the client's."""

from torch import Tensor

from whybox.v1 import heat_maps
from whybox_handlers.explanations.explainers import Attribution
from whybox_handlers.pictures.levels import image
from whybox_handlers.pictures.png import png

_OPACITY = 0.5


def heat_map(attribution: Attribution, picture: Tensor) -> bytes:
    """The map alone, as large as the view; see `whybox.v1.heat_maps` for the colours.

    Args:
        attribution: The map.
        picture: [3, H, W] in [0, 1].
    """
    height, width = picture.shape[-2:]
    strengths = heat_maps.strengths(attribution.values.numpy(), signed=attribution.signed)
    return png(heat_maps.draw(strengths, (width, height), signed=attribution.signed))


def overlay(attribution: Attribution, picture: Tensor) -> bytes:
    """The map over the view in grey; arguments as for `heat_map`."""
    strengths = heat_maps.strengths(attribution.values.numpy(), signed=attribution.signed)
    return png(heat_maps.lay_over(image(picture), strengths, _OPACITY, signed=attribution.signed))
