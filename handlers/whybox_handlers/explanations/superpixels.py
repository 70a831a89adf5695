"""Superpixels: connected pieces of a picture of about one colour each."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
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
# SLIC is asked for at most this multiple of the pieces wanted, and no more are merged: beyond it pieces follow noise.
_MOST_TOO_MANY = 4
# A segmentation with a smaller share of the pieces asked for tells too few places apart.
_LEAST = 0.5


Segmentation = Literal["slic", "grid"]
"""How superpixels were made: see `segments_of`."""


@dataclass(frozen=True, eq=False)
class Superpixels:
    """A picture in pieces.

    Attributes:
        labels: [H, W] int64: number of each pixel's piece, from 0 without gaps.
        method: How they were made.
    """

    labels: Tensor
    method: Segmentation

    @property
    def count(self) -> int:
        """Number of the pieces."""
        return int(self.labels.max()) + 1


def segments_of(picture: Tensor, pieces: int) -> Superpixels:
    """SLIC (Achanta et al., TPAMI 2012): k-means of colour and place, each piece connected.

    SLIC merges small fragments. On small pictures and in noise most pieces are such fragments, and one piece may
    swallow the whole picture. If SLIC gives too many pieces each time, the smallest are merged into the neighbours most
    like them. If it gives fewer than half of those asked for, a grid of equal rectangles takes its place.

    Args:
        picture: [3, H, W] in [0, 1].
        pieces: At most this number, from 1. At least half of it comes out, if the picture has as many pixels.
    """
    best, fewest_over = torch.zeros(picture.shape[1:], dtype=torch.int64), None
    asked = pieces
    for _ in range(_ATTEMPTS):
        found = _slic(picture, asked)
        count = _count(found)
        if _count(best) < count <= pieces:
            best = found
        elif pieces < count <= _MOST_TOO_MANY * pieces and (fewest_over is None or count < _count(fewest_over)):
            fewest_over = found
        if _count(best) >= _ENOUGH * pieces:
            break
        asked = max(round(asked * pieces / count), asked + 1 if count < pieces else 1)
        asked = min(asked, _MOST_TOO_MANY * pieces)
    if _count(best) < _LEAST * pieces and fewest_over is not None:
        best = _merged(picture, fewest_over, pieces)
    if _count(best) >= _LEAST * pieces:
        return Superpixels(best, "slic")
    height, width = picture.shape[1:]
    return Superpixels(_grid(height, width, pieces), "grid")


def _count(labels: Tensor) -> int:
    return int(labels.max()) + 1


def _slic(picture: Tensor, asked: int) -> Tensor:
    labels = slic(
        picture.permute(1, 2, 0).double().numpy(),
        n_segments=asked,
        compactness=_COMPACTNESS,
        min_size_factor=_SMALLEST,
        start_label=0,
    )
    return _numbered(torch.from_numpy(labels).long())


def _numbered(labels: Tensor) -> Tensor:
    """The same pieces, numbered without gaps."""
    numbered: Tensor = torch.unique(labels, return_inverse=True)[1]
    return numbered


def _merged(picture: Tensor, labels: Tensor, pieces: int) -> Tensor:
    """Merges the smallest piece into the neighbour with the nearest mean colour until `pieces` are left."""
    count, flat = _count(labels), labels.flatten()
    sizes = flat.bincount().double().numpy()
    sums = np.stack([flat.bincount(channel.flatten().double()).numpy() for channel in picture])
    beside = np.zeros((count, count), dtype=bool)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        beside[one.flatten(), other.flatten()] = beside[other.flatten(), one.flatten()] = True
    np.fill_diagonal(beside, False)
    of = np.arange(count)
    for _ in range(count - pieces):
        smallest = int(np.where(sizes > 0, sizes, np.inf).argmin())
        neighbours = beside[smallest].nonzero()[0]
        colours = sums[:, neighbours] / sizes[neighbours]
        distances = np.linalg.norm(colours - (sums[:, smallest] / sizes[smallest])[:, None], axis=0)
        into = neighbours[distances.argmin()]
        of[of == smallest] = into
        sizes[into] += sizes[smallest]
        sums[:, into] += sums[:, smallest]
        sizes[smallest] = 0
        beside[into] |= beside[smallest]
        beside[:, into] |= beside[:, smallest]
        beside[smallest] = beside[:, smallest] = False
        beside[into, into] = False
    return _numbered(torch.from_numpy(of)[labels])


def _grid(height: int, width: int, pieces: int) -> Tensor:
    """Rectangles of about equal size and nearly square; as many as possible, at most `pieces`."""
    sizes = [(rows, min(pieces // rows, width)) for rows in range(1, min(pieces, height) + 1)]
    most = max(rows * columns for rows, columns in sizes)
    rows, columns = min(
        (size for size in sizes if 10 * size[0] * size[1] >= 9 * most),
        key=lambda size: abs(np.log(height / size[0] * size[1] / width)),
    )
    down, across = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    return down[:, None] * columns + across
