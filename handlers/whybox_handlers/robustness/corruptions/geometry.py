"""Geometry: a small shift, rotation or zoom of the camera (Engstrom et al., arXiv:1712.02779), and mirror images.

Pixels that come into view from outside are the mirror image of those inside.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import InterpolationMode, functional

from whybox_handlers.robustness.corruptions.corruption import Corruption


def _shift(picture: Tensor, share: float, _generator: torch.Generator) -> Tensor:
    """By whole pixels left, right, up and down."""
    rows, columns = (max(1, round(share * side)) for side in picture.shape[-2:])
    steps = ((-columns, 0), (columns, 0), (0, -rows), (0, rows))
    return torch.stack([_moved(picture, translation=step) for step in steps])


def _zoom(picture: Tensor, factor: float, _generator: torch.Generator) -> Tensor:
    """Nearer and farther."""
    return torch.stack([zoomed(picture, factor), zoomed(picture, 1 / factor)])


def _rotation(picture: Tensor, degrees: float, _generator: torch.Generator) -> Tensor:
    """To the left and to the right."""
    return torch.stack([_moved(picture, degrees=sense * degrees) for sense in (-1, 1)])


def _flip(picture: Tensor, dimension: int, _generator: torch.Generator) -> Tensor:
    return picture.flip(dimension)


def zoomed(picture: Tensor, factor: float) -> Tensor:
    """The picture enlarged (factors above 1) or reduced about its centre, of the same size."""
    return _moved(picture, factor=factor)


def _moved(picture: Tensor, *, degrees: float = 0, translation: Sequence[int] = (0, 0), factor: float = 1) -> Tensor:
    height, width = picture.shape[-2:]
    turn = math.radians(abs(degrees))
    # Distance of the new corners from the old edges, as a share of the side.
    outside = ((math.cos(turn) + math.sin(turn)) / factor - 1) / 2
    margins = (outside * side + abs(step) for side, step in zip((height, width), reversed(translation), strict=True))
    rows, columns = (max(0, math.ceil(margin)) for margin in margins)
    around = pad(picture, [columns, columns, rows, rows], mode="reflect")
    moved: Tensor = functional.affine(
        around, degrees, list(translation), factor, [0.0, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    return moved[:, rows : rows + height, columns : columns + width]


GEOMETRY = (
    Corruption("shift", "geometry", "Shifted by 2 to 10.7 % of the side.", _shift, (0.02, 0.04, 0.06, 0.08, 24 / 224)),
    Corruption("zoom", "geometry", "Enlarged or reduced by 5 to 50 %.", _zoom, (1.05, 1.1, 1.2, 1.35, 1.5)),
    Corruption("rotation", "geometry", "Rotated by 3 to 30 degrees.", _rotation, (3.0, 6.0, 12.0, 20.0, 30.0)),
    Corruption("mirror", "geometry", "Left and right are exchanged.", _flip, (2,)),
    Corruption("upside_down", "geometry", "Top and bottom are exchanged.", _flip, (1,)),
)
