"""Weather, imitated: fog, snow and glare."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional

from whybox_handlers.robustness.corruptions.blur import Motion, filtered, trail
from whybox_handlers.robustness.corruptions.colours import with_hsv
from whybox_handlers.robustness.corruptions.corruption import Corruption


class Fog(NamedTuple):
    """Density of the fog, in multiples of white, and the factor by which clouds of half the size are thinner."""

    density: float
    smoothness: float


class Snow(NamedTuple):
    """Falling flakes: enlarged noise, of which only the values above a threshold remain.

    Attributes:
        mean: Mean of the noise, for values in [0, 1].
        deviation: Standard deviation of the noise.
        size: Factor by which the noise is enlarged.
        threshold: Smaller values are no flakes.
        fall: Trail of each flake.
        colour: Weight of the picture's own colours, 0 to 1; the rest of the weight is a paler picture's.
    """

    mean: float
    deviation: float
    size: float
    threshold: float
    fall: Motion
    colour: float


def _fog(picture: Tensor, fog: Fog, generator: torch.Generator) -> Tensor:
    brightest = float(picture.max())
    foggy = picture + fog.density * clouds(picture.shape[-2:], fog.smoothness, generator)
    return foggy * brightest / (brightest + fog.density)


def clouds(size: Sequence[int], smoothness: float, generator: torch.Generator) -> Tensor:
    """[H, W] from 0 to 1: noise of many sizes, each half as large as the last, and thinner by `smoothness`."""
    octaves = math.ceil(math.log2(max(size)))
    sky = torch.zeros(1, 1, *size)
    for octave in range(1, octaves + 1):
        grid = torch.rand(1, 1, 2**octave + 1, 2**octave + 1, generator=generator)
        sky += interpolate(grid, size=tuple(size), mode="bilinear", align_corners=True) / smoothness**octave
    return ((sky - sky.min()) / (sky.max() - sky.min()))[0, 0]


def _snow(picture: Tensor, snow: Snow, generator: torch.Generator) -> Tensor:
    height, width = picture.shape[-2:]
    side = (math.ceil(height / snow.size), math.ceil(width / snow.size))
    noise = snow.mean + snow.deviation * torch.randn(1, 1, *side, generator=generator)
    enlarged = interpolate(noise, size=(height, width), mode="bilinear", align_corners=True)[0]
    flakes = torch.where(enlarged < snow.threshold, 0.0, enlarged).clamp(0, 1)
    # Downwards, up to 45 degrees from the vertical.
    angle = math.pi / 4 + float(torch.rand(1, generator=generator)) * math.pi / 2
    falling = filtered(flakes, trail(snow.fall, angle))
    pale = torch.maximum(picture, functional.rgb_to_grayscale(picture) * 1.5 + 0.5)
    return snow.colour * picture + (1 - snow.colour) * pale + falling + falling.rot90(2, (1, 2))


def _brightness(picture: Tensor, added: float, _generator: torch.Generator) -> Tensor:
    return with_hsv(picture, 2, lambda value: value + added)


WEATHER = (
    Corruption(
        "fog",
        "weather",
        "Fog between camera and scene.",
        _fog,
        (Fog(1.5, 2), Fog(2, 2), Fog(2.5, 1.7), Fog(2.5, 1.5), Fog(3, 1.4)),
    ),
    Corruption(
        "snow",
        "weather",
        "Falling snow over a paler picture.",
        _snow,
        (
            Snow(0.1, 0.3, 3, 0.5, Motion(10, 4), 0.8),
            Snow(0.2, 0.3, 2, 0.5, Motion(12, 4), 0.7),
            Snow(0.55, 0.3, 4, 0.9, Motion(12, 8), 0.7),
            Snow(0.55, 0.3, 4.5, 0.85, Motion(12, 8), 0.65),
            Snow(0.55, 0.3, 2.5, 0.85, Motion(12, 12), 0.55),
        ),
    ),
    Corruption("brightness", "weather", "The whole picture is brighter.", _brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
)
