"""How many rows share a pass: as many as leave each of them the bits that it has in a pass of its own.

Kernels of torch and ONNX Runtime choose by shape in which order they add. Rounding then differs between a row alone and
the same row among others, and a deep network amplifies it until it shows in its maps. Which sizes are safe depends on
the network, the processor, the libraries and the threads, so it is tried out. Kinds of passes that are not tried out
take rows one by one: several of them rarely wait together.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.models.arithmetic import kernels
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.local_network import Box
from whybox_handlers.passes.computations import Compute, differentiate, differentiate_margin, serve, serve_alone
from whybox_handlers.passes.occluded import Occluded

_log = logging.getLogger(__name__)

LARGEST = 4
"""On a processor larger batches are no faster per row, and leave its cache."""
_LARGEST_ON_GPU = 64
_KINDS: Mapping[Compute | type, Literal["forward", "occluded", "gradient"]] = {
    serve: "forward",
    Occluded: "occluded",
    differentiate: "gradient",
}
# These see to it themselves that rows do not affect each other.
_SEPARATING = (serve_alone, differentiate_margin)
# Number of different rows that are tried.
_ROWS = 8
# Number of compositions of such rows that are tried for each size. Another rounding does not show in every value, and a
# gradient has more values than an answer.
_COMPOSITIONS: Mapping[str, int] = {"forward": 8, "occluded": 8, "gradient": 2}
# Windows that are hidden from the first picture: their sides, as shares of the picture's.
_HIDDEN = (1 / 8, 1 / 7, 1 / 6, 1 / 5)


def batch_size(classifier: Classifier, compute: Compute) -> int:
    """The largest number of rows that may share a pass."""
    if classifier.device.type != "cpu":
        return _LARGEST_ON_GPU
    if compute in _SEPARATING or (compute is differentiate and classifier.differentiator.separates):
        return LARGEST
    kind = _KINDS.get(compute) or _KINDS.get(type(compute))
    return max(getattr(classifier.batch_sizes, kind), 1) if kind else 1


def measured(classifier: Classifier, views: Tensor) -> v1.BatchSizes:
    """Tries out which sizes are safe with this number of threads; computes 186 rows at most, 26 of them gradients.

    Args:
        classifier: On the CPU.
        views: [N, 3, H, W] in [0, 1], from none; pictures of noise make up the number that is needed.
    """
    noise = torch.rand(_ROWS, *views.shape[1:], generator=torch.Generator().manual_seed(0))
    pictures = torch.cat([views, noise])[:_ROWS]
    number = classifier.serving(pictures[:1])[0].shape[1]
    # Contrasts of neighbouring classes.
    contrasts = torch.eye(number) - torch.eye(number).roll(1, dims=1)
    objectives = contrasts[torch.arange(_ROWS) % number]
    height, width = pictures.shape[2:]
    windows = [Box(0, 0, *(max(round(share * side), 1) for side in (height, width))) for share in _HIDDEN]
    boxes = torch.tensor([windows[row % len(windows)] for row in range(_ROWS)])
    boxes += torch.tensor([[row * height // 10, row * width // 10] * 2 for row in range(_ROWS)])
    fills = torch.zeros(_ROWS, dtype=torch.long)
    occluded = Occluded(pictures[0], [torch.zeros_like(pictures[0])])
    tried: Mapping[str, tuple[Compute, Sequence[Tensor]]] = {
        "forward": (serve, (pictures,)),
        "occluded": (occluded, (boxes, fills)),
        "gradient": (differentiate, (pictures, objectives)),
    }
    if classifier.differentiator.separates:
        tried = {kind: trial for kind, trial in tried.items() if kind != "gradient"}
    sizes = {kind: _safe(classifier, *trial, _COMPOSITIONS[kind]) for kind, trial in tried.items()}
    return v1.BatchSizes(**({"gradient": 1} | sizes), runtime=kernels())


def ensure_measured(classifier: Classifier) -> None:
    """Measures, on noise, the sizes of a classifier whose archive was packed for other kernels than this process's."""
    if classifier.device.type == "cpu" and not classifier.batch_sizes.runtime:
        crop = classifier.model.preprocessing.crop
        classifier.batch_sizes = measured(classifier, torch.empty(0, 3, crop, crop))
        _log.warning(
            "%s was packed for another processor, number of threads or libraries; batch sizes found now: %s",
            classifier.model.name,
            ", ".join(f"{kind} {getattr(classifier.batch_sizes, kind)}" for kind in _KINDS.values()),
        )


def _safe(classifier: Classifier, compute: Compute, rows: Sequence[Tensor], compositions: int) -> int:
    """The largest size, 1 to `LARGEST`, such that every size up to it gives each row the bits that it has alone."""

    @cache
    def alone(row: int) -> Sequence[Tensor]:
        return compute(classifier, *(column[row : row + 1] for column in rows))

    for size in range(2, LARGEST + 1):
        # Each composition begins at another row, so that rows change neighbours and places.
        for first in range(compositions):
            order = [(size + first + place) % _ROWS for place in range(size)]
            together = compute(classifier, *(column[order] for column in rows))
            for place, row in enumerate(order):
                if not all(torch.equal(one[0], many[place]) for one, many in zip(alone(row), together, strict=True)):
                    return size - 1
    return LARGEST
