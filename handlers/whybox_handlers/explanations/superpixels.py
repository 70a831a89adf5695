"""Superpixels: connected pieces of a picture of about one colour each."""

import torch
from skimage.segmentation import slic
from torch import Tensor

# Weight of nearness against likeness of colour; at 10, the value for pictures in Lab, pieces are compact.
_COMPACTNESS = 10.0
# Pieces smaller than this share of the mean are merged into their neighbours; at skimage's 1/2 up to half of them are.
_SMALLEST = 0.25
# Pictures differ in how many pieces are merged, so the number that is asked for is corrected by the number found.
_ATTEMPTS = 5
_ENOUGH = 0.9


def segments_of(picture: Tensor, pieces: int) -> Tensor:
    """SLIC (Achanta et al., TPAMI 2012): k-means of colour and place, each piece connected.

    Args:
        picture: [3, H, W] in [0, 1].
        pieces: At most this number, from 1; a picture of one colour may give fewer.

    Returns:
        [H, W] int64: number of each pixel's piece, from 0 without gaps.
    """
    best, most = torch.zeros(picture.shape[1:], dtype=torch.int64), 1
    asked = pieces
    for _ in range(_ATTEMPTS):
        if most >= _ENOUGH * pieces:
            break
        found = _slic(picture, asked)
        count = int(found.max()) + 1
        if most < count <= pieces:
            best, most = found, count
        asked = max(round(asked * pieces / count), asked + 1 if count < pieces else 1)
    return best


def _slic(picture: Tensor, asked: int) -> Tensor:
    labels = slic(
        picture.permute(1, 2, 0).double().numpy(),
        n_segments=asked,
        compactness=_COMPACTNESS,
        min_size_factor=_SMALLEST,
        start_label=0,
    )
    numbered: Tensor = torch.unique(torch.from_numpy(labels).long(), return_inverse=True)[1]
    return numbered
