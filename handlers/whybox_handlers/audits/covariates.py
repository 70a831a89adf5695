"""What a picture looks like, in numbers that need no network: intrinsic covariates and a perceptual hash.

Brightness, contrast, saturation and sharpness are those of the model's view, because the view is all that the network
sees and its size is the same for all pictures. Width, height and aspect ratio are those of the whole picture.
"""

import numpy as np
import torch
from scipy.fft import dctn
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from whybox_handlers.models.subject import Subject

# Luma of ITU-R BT.601, which JPEG uses.
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
_LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
_HASHED_SIDE = 32
_HASH_SIDE = 8


def covariates(subject: Subject) -> dict[str, float]:
    """Intrinsic covariates of a picture.

    Returns:
        width, height: of the upright picture, in pixels.
        aspect_ratio: width / height.
        brightness: mean luma of the view, 0 (black) to 1 (white).
        contrast: standard deviation of the luma (RMS contrast; Peli, JOSA A 1990), 0 to 0.5.
        saturation: mean HSV saturation of the view, 0 (grey) to 1; 0 for a black pixel.
        sharpness: variance of the Laplacian of the luma (Pech-Pacheco et al., ICPR 2000), at least 0, for values in
            [0, 1] and one pixel of the view as the unit of length.
    """
    width, height = subject.view.picture_width, subject.view.picture_height
    picture = subject.picture.double()
    luma = _luma(picture)
    largest, smallest = picture.amax(0), picture.amin(0)
    saturation = torch.where(largest > 0, (largest - smallest) / largest.clamp_min(1e-12), 0.0)
    edges = conv2d(luma[None, None], _LAPLACIAN.double()[None, None])
    return {
        "width": float(width),
        "height": float(height),
        "aspect_ratio": width / height,
        "brightness": float(luma.mean()),
        "contrast": float(luma.std(correction=0)),
        "saturation": float(saturation.mean()),
        "sharpness": float(edges.var(correction=0)),
    }


def perceptual_hash(view: Tensor) -> int:
    """The 64 bits of the DCT hash of a picture's view: copies that were resized or compressed again differ in few bits.

    Bit i says whether the i-th of the 8 x 8 lowest frequencies (without those that are constant along an axis) of the
    luma, reduced to 32 x 32, exceeds their median (Zauner, Implementation and Benchmarking of Perceptual Image Hash
    Functions, 2010, section 3.2.1).

    Args:
        view: [3, H, W] in [0, 1]: what the model sees.

    Returns:
        0 to 2**64 - 1; the lowest frequency is the highest bit.
    """
    luma = _luma(view.double())
    small = interpolate(luma[None, None], size=(_HASHED_SIDE, _HASHED_SIDE), mode="bilinear", antialias=True)[0, 0]
    low = dctn(small.numpy(), norm="ortho")[1 : 1 + _HASH_SIDE, 1 : 1 + _HASH_SIDE]
    # Rounding errors of a picture of one colour are no frequencies.
    bits = low.round(9) > np.median(low.round(9))
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _luma(picture: Tensor) -> Tensor:
    """[3, H, W] to [H, W]."""
    return (picture * _LUMA.to(picture.dtype)).sum(0)
