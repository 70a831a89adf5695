"""Occlusion: the fall of the objective under a sliding window (Zeiler & Fergus, arXiv:1311.2901)."""

from itertools import product

import torch

from whybox.v1 import errors
from whybox_handlers.explanations.explainers import removal
from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.models.runtimes.local_network import Box
from whybox_handlers.passes.account import Passes, StoppedBy
from whybox_handlers.passes.occluded import Occluded

_BATCH = 16


async def occlusion(passes: Passes, question: Question) -> Attribution:
    """The drop objective(x) - objective(x with the baseline in a window), [H, W], in logits.

    A pixel's value is the mean over the windows that cover it. They are squares that overlap by half, and as many as
    the evaluations allow: with 169 evaluations, one baseline and 224 x 224 pixels, 13 x 13 windows of 32 x 32. The last
    of a row or column may reach over the edge. If the deadline comes first, the windows so far, which cover the
    picture, make a coarser map.

    The parts of the early feature maps that a window does not reach are not computed again (see `LocalNetwork`). Such a
    pass counts as a whole evaluation; the pass of the unchanged picture is included in them.

    Raises:
        DeadlineExceededError: The deadline passed before the windows covered the picture.
    """
    _, height, width = question.picture.shape
    baselines = len(question.baselines)
    windows = grid(height, width, max(removal.grant(passes, question, height * width).count, 1))
    occluded = Occluded(question.picture, question.baselines)
    drops, covers = torch.zeros(height, width, dtype=torch.float64), torch.zeros(height, width)
    stopped_by: StoppedBy = "done"
    while windows:
        granted = removal.grant(passes, question, min(_BATCH, len(windows)))
        if not granted:
            stopped_by = granted.stopped_by
            break
        batch, windows = windows[: granted.count], windows[granted.count :]
        boxes, fills = torch.tensor(batch).repeat(baselines, 1), torch.arange(baselines).repeat_interleave(len(batch))
        (logits,) = await passes.forward(occluded, boxes, fills)
        drop = question.value - question.objective_of(logits).double().view(baselines, -1).mean(dim=0)
        for box, each in zip(batch, drop, strict=True):
            drops[box.top : box.bottom, box.left : box.right] += each
            covers[box.top : box.bottom, box.left : box.right] += 1
    if not covers.all():
        raise errors.DeadlineExceededError(
            "the deadline passed before the windows covered the picture; allow more time or lower max_evaluations"
        )
    return Attribution((drops / covers).float(), "logit", signed=True, stopped_by=stopped_by)


def grid(height: int, width: int, most: int) -> list[Box]:
    """The finest grid of at most `most` windows, from 1; windows that together cover the picture come first.

    The stride is half the window, the same in both directions.
    """

    def starts(length: int, stride: int) -> range:
        return range(0, max(length - stride, 1), stride)

    stride = next(
        stride
        for stride in range(1, max(height, width) + 1)
        if len(starts(height, stride)) * len(starts(width, stride)) <= most
    )
    rows, columns = starts(height, stride), starts(width, stride)
    # Every other window, and the last one, which alone overlaps.
    tiling_rows, tiling_columns = {*rows[::2], rows[-1]}, {*columns[::2], columns[-1]}
    order = sorted(
        product(rows, columns), key=lambda corner: (corner[0] not in tiling_rows) + (corner[1] not in tiling_columns)
    )
    return [Box(top, left, min(top + 2 * stride, height), min(left + 2 * stride, width)) for top, left in order]
