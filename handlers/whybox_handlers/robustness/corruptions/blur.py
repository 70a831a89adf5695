"""Blur: out of focus, in motion, and zooming."""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import fftconvolve
from skimage.filters import gaussian
from skimage.morphology import disk
from torch import Tensor
from torch.nn.functional import pad

from whybox_handlers.robustness.corruptions.corruption import Corruption
from whybox_handlers.robustness.corruptions.geometry import zoomed


class Zooming(NamedTuple):
    """Zoom factors from 1 up to about `furthest`, in equal steps of `step`."""

    furthest: float
    step: float


class Motion(NamedTuple):
    """A trail that reaches 2 * `length` pixels; weights fall off as a Gaussian of this deviation in pixels."""

    length: int
    deviation: float


class Lens(NamedTuple):
    """A disk of this radius in pixels; its edge is smoothed by a Gaussian of this deviation in pixels."""

    radius: int
    smoothing: float


def _gaussian(picture: Tensor, deviation: float, _generator: torch.Generator) -> Tensor:
    return smoothed(picture, deviation)


def _defocus(picture: Tensor, lens: Lens, _generator: torch.Generator) -> Tensor:
    aperture = disk(lens.radius, dtype=np.float32)  # type: ignore[no-untyped-call]
    kernel = smoothed(pad(torch.from_numpy(aperture)[None], [2] * 4), lens.smoothing)[0]
    return filtered(picture, kernel / kernel.sum())


def _motion(picture: Tensor, motion: Motion, generator: torch.Generator) -> Tensor:
    """In a random direction up to 45 degrees from the horizontal."""
    angle = float(torch.rand(1, generator=generator)) * math.pi / 2 - math.pi / 4
    return filtered(picture, trail(motion, angle))


def _zoom(picture: Tensor, zooming: Zooming, _generator: torch.Generator) -> Tensor:
    """The mean of the picture and of its enlargements up to the last factor."""
    count = round((zooming.furthest - 1) / zooming.step)
    return torch.stack([picture, *(zoomed(picture, 1 + step * zooming.step) for step in range(count + 1))]).mean(dim=0)


def smoothed(picture: Tensor, deviation: float) -> Tensor:
    """Each channel of [C, H, W] under a Gaussian of this deviation in pixels."""
    blurred = gaussian(picture.numpy(), deviation, channel_axis=0)  # type: ignore[no-untyped-call]
    return torch.from_numpy(blurred)


def trail(motion: Motion, angle: float) -> Tensor:
    """The kernel of a motion, square and of odd side; the trail begins at the centre.

    Args:
        motion: Length and fall-off of the trail.
        angle: From the horizontal, radians.
    """
    steps = torch.arange(2 * motion.length + 1)
    weights = torch.exp(-(steps**2) / (2 * motion.deviation**2))
    kernel = torch.zeros(2 * len(steps) - 1, 2 * len(steps) - 1)
    centre = len(steps) - 1
    rows = centre + torch.round(steps * math.sin(angle)).long()
    columns = centre + torch.round(steps * math.cos(angle)).long()
    kernel.index_put_((rows, columns), weights, accumulate=True)
    return kernel / kernel.sum()


def filtered(picture: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of [C, H, W] filtered by a kernel of odd sides; beyond the edge the last pixels are repeated."""
    vertical, horizontal = (side // 2 for side in kernel.shape)
    padded = pad(picture, [horizontal, horizontal, vertical, vertical], mode="replicate")
    # Kernels are large, so a Fourier transform is ten times as fast as torch's convolution.
    return torch.from_numpy(fftconvolve(padded.numpy(), kernel[None].numpy(), mode="valid", axes=(1, 2)))


BLUR = (
    Corruption("gaussian_blur", "blur", "Softly out of focus.", _gaussian, (1.0, 2.0, 3.0, 4.0, 6.0)),
    Corruption(
        "defocus_blur",
        "blur",
        "Out of focus, as with a wide-open lens.",
        _defocus,
        (Lens(3, 0.1), Lens(4, 0.5), Lens(6, 0.5), Lens(8, 0.5), Lens(10, 0.5)),
    ),
    Corruption(
        "motion_blur",
        "blur",
        "The camera moved during the exposure.",
        _motion,
        (Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15)),
    ),
    Corruption(
        "zoom_blur",
        "blur",
        "The lens zoomed in during the exposure.",
        _zoom,
        (Zooming(1.1, 0.01), Zooming(1.15, 0.01), Zooming(1.2, 0.02), Zooming(1.24, 0.02), Zooming(1.3, 0.03)),
    ),
)
