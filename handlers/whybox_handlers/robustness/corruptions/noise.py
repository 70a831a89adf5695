"""Noise: from a sensor, from few photons, from broken pixels, and speckle."""

import torch
from torch import Tensor

from whybox_handlers.robustness.corruptions.corruption import Corruption


def _gaussian(picture: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return picture + deviation * torch.randn(picture.shape, generator=generator)


def _shot(picture: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Each value is a random number of photons; the mean for white is `photons`."""
    return torch.poisson(picture * photons, generator=generator) / photons


def _impulse(picture: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random share of all values becomes 0 or 1, each half of the time."""
    drawn = torch.rand(picture.shape, generator=generator)
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn < share, 1.0, picture))


def _speckle(picture: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return picture + picture * deviation * torch.randn(picture.shape, generator=generator)


NOISE = (
    Corruption(
        "gaussian_noise",
        "noise",
        "Random noise of the same strength everywhere.",
        _gaussian,
        (0.08, 0.12, 0.18, 0.26, 0.38),
    ),
    Corruption(
        "shot_noise",
        "noise",
        "The noise of a photograph taken in too little light.",
        _shot,
        (60.0, 25.0, 12.0, 5.0, 3.0),
    ),
    Corruption(
        "impulse_noise", "noise", "Random values turn black or white.", _impulse, (0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    Corruption(
        "speckle_noise", "noise", "Random noise that grows with brightness.", _speckle, (0.15, 0.2, 0.35, 0.45, 0.6)
    ),
)
