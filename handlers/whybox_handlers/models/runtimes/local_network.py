"""The serving network for pictures that differ from a known one in a box: only the changed cells are computed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from whybox_handlers.models.runtimes import cuts
from whybox_handlers.models.runtimes.cuts import Reach

Array = NDArray[np.float32]


class Box(NamedTuple):
    """Rows `top` to `bottom` and columns `left` to `right` in pixels; `bottom` and `right` are excluded."""

    top: int
    left: int
    bottom: int
    right: int


class _Stage(NamedTuple):
    """The part of the network from one cut to the next, and the reach of its output cells into its input, by axis."""

    session: onnxruntime.InferenceSession
    reach: tuple[Reach, Reach]


class LocalNetwork:
    """An ONNX network in stages; all but the last recompute only the cells that a change reaches.

    The results equal those of the whole network up to rounding. A network without cuts has only the last stage.

    Args:
        onnx_bytes: The serialized network: "pictures" [N, 3, H, W] to "logits".
        options: For the sessions of ONNX Runtime, which compute on the CPU.

    Attributes:
        stages: All stages but the last.
    """

    def __init__(self, onnx_bytes: bytes, options: onnxruntime.SessionOptions) -> None:
        model = onnx.load_from_string(onnx_bytes)
        graph = model.graph
        whole = cuts.Cut(graph.input[0].name, -1, 3, (Reach(), Reach()))

        def session(first: cuts.Cut, last: str, end: int) -> onnxruntime.InferenceSession:
            content = cuts.part(model, first.name, last, range(first.node + 1, end))
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

        kept = [whole, *cuts.worthwhile(graph)]
        self.stages: list[_Stage] = []
        for first, last in pairwise(kept):
            down, across = (mine.since(before) for mine, before in zip(last.reach, first.reach, strict=True))
            self.stages.append(_Stage(session(first, last.name, last.node + 1), (down, across)))
        self._rest = session(kept[-1], "logits", len(graph.node))

    def settle(self, picture: Array) -> list[Array]:
        """The maps at the cuts, [C, h, w] each, of a picture [3, H, W], for `change`."""
        maps = [picture]
        for stage in self.stages:
            maps.append(_run(stage.session, maps[-1][None])[0])
        return maps[1:]

    def change(self, pictures: Array, boxes: Sequence[Box], maps: Sequence[Array]) -> Array:
        """The logits [N, classes] of pictures [N, 3, H, W] that differ from the picture of the maps, each in a box."""
        return _run(self._rest, np.stack([self._last(*row, maps) for row in zip(pictures, boxes, strict=True)]))

    def _last(self, picture: Array, box: Box, maps: Sequence[Array]) -> Array:
        """The map at the last cut, for one picture: crops of different pictures have different sizes."""
        current, changed = picture, (range(box.top, box.bottom), range(box.left, box.right))
        for stage, known in zip(self.stages, maps, strict=True):
            current, changed = _patched(stage, current, changed, known)
        return current


def _patched(
    stage: _Stage, inputs: Array, changed: tuple[range, range], known: Array
) -> tuple[Array, tuple[range, range]]:
    """A stage's output for an input of which some rows and columns have changed since `known`, and where it differs."""
    rows, columns = (
        reach.changed(cells, length) for reach, cells, length in zip(stage.reach, changed, known.shape[1:], strict=True)
    )
    down, across = (
        reach.needed(cells, length)
        for reach, cells, length in zip(stage.reach, (rows, columns), inputs.shape[1:], strict=True)
    )
    (computed,) = _run(stage.session, inputs[None, :, down.start : down.stop, across.start : across.stop])
    top, left = rows.start - down.start // stage.reach[0].stride, columns.start - across.start // stage.reach[1].stride
    patched = known.copy()
    patched[:, rows.start : rows.stop, columns.start : columns.stop] = computed[
        :, top : top + len(rows), left : left + len(columns)
    ]
    return patched, (rows, columns)


def _run(session: onnxruntime.InferenceSession, inputs: Array) -> Array:
    output: Array
    (output,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(inputs)})
    return output
