"""Baselines: inputs that stand for "nothing there"."""

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from whybox import v1
from whybox.v1.errors import PictureError
from whybox_handlers.pictures.decoding import decode

# Standard deviation of the blur as a share of the view's side; colours remain, objects do not.
_BLUR = 0.1


def black(picture: Tensor) -> Tensor:
    """All 0."""
    return torch.zeros_like(picture)


def grey(picture: Tensor) -> Tensor:
    """All one half."""
    return torch.full_like(picture, 0.5)


def blur(picture: Tensor) -> Tensor:
    """The picture under a Gaussian as wide as a tenth of its side."""
    sigma = _BLUR * picture.shape[-1]
    # Three standard deviations to each side; a kernel may not be wider than the padding, the picture itself.
    reach = min(round(3 * sigma), picture.shape[-1] - 1)
    blurred: Tensor = gaussian_blur(picture, [2 * reach + 1] * 2, [sigma] * 2)
    return blurred


BASELINES = {"black": (black,), "grey": (grey,), "blur": (blur,), "mean": (black, grey, blur)}
"""By name; a map is averaged over the baselines of its name."""


def baselines_of(options: v1.ExplanationOptions, picture: Tensor) -> tuple[Tensor, ...]:
    """The baselines that a request asks for, each [3, H, W] in [0, 1]; none if it names none.

    Args:
        options: `baseline` or `baseline_image` is read.
        picture: [3, H, W] in [0, 1].

    Raises:
        PictureError: The caller's own baseline cannot be read, or has another size than the view.
    """
    if not options.baseline_image:
        return tuple(make(picture) for make in BASELINES[options.baseline]) if options.baseline else ()
    own = decode(options.baseline_image)
    if own.shape != picture.shape:
        (_, height, width), (_, rows, columns) = own.shape, picture.shape
        raise PictureError(
            f"the baseline has {width} x {height} pixels; send one of the size of the model's view, {columns} x {rows}",
            field="explanations.baseline_image",
        )
    return (own.float() / 255 if own.dtype == torch.uint8 else own,)
