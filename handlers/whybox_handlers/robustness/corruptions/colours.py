"""Changes of hue, saturation or value."""

from collections.abc import Callable

import numpy as np
import torch
from skimage.color import hsv2rgb, rgb2hsv
from torch import Tensor


def with_hsv(picture: Tensor, channel: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The picture with one of these channels changed and cut to [0, 1].

    Args:
        picture: [3, H, W] in [0, 1].
        channel: 0 is hue, 1 saturation, 2 value.
        change: From the channel, [H, W] in [0, 1], to its new values.
    """
    hsv = rgb2hsv(picture.numpy(), channel_axis=0)
    hsv[channel] = change(torch.from_numpy(hsv[channel])).clamp(0, 1).numpy()
    return torch.from_numpy(np.ascontiguousarray(hsv2rgb(hsv, channel_axis=0)))
