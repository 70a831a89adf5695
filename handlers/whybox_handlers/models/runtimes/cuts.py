"""Cuts: tensors at which an ONNX network can be divided so that a small change of its input stays small.

A cut is a tensor that all paths from the input to the output go through. Only convolutions, pooling and element-wise
operations lead to it, so each of its cells depends on a window of the input.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import onnx

# Operations whose output cell depends only on the input cells at the same place.
_POINTWISE = {
    *("Add", "BatchNormalization", "Clip", "Div", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Mul", "Relu"),
    *("Sigmoid", "Sub", "Tanh"),
}
_SLIDING = {"AveragePool", "Conv", "MaxPool"}


class Reach(NamedTuple):
    """Along one axis, output cell j depends on the input cells j * stride - before to j * stride + after."""

    stride: int = 1
    before: int = 0
    after: int = 0

    def then(self, inner: "Reach") -> "Reach":
        """The reach of `inner` on top of this one."""
        return Reach(
            self.stride * inner.stride,
            self.before + self.stride * inner.before,
            self.after + self.stride * inner.after,
        )

    def since(self, first: "Reach") -> "Reach":
        """The reach that has to follow `first` to give this one."""
        return Reach(
            self.stride // first.stride,
            (self.before - first.before) // first.stride,
            (self.after - first.after) // first.stride,
        )

    def changed(self, changed: range, length: int) -> range:
        """Output cells, of `length`, that depend on changed input cells."""
        first = -((self.after - changed.start) // self.stride)
        last = (changed.stop - 1 + self.before) // self.stride
        return range(max(first, 0), min(last + 1, length))

    def needed(self, wanted: range, length: int) -> range:
        """Input cells, of `length`, that give the wanted output cells as the whole input would.

        They start at a multiple of the stride, so that the windows lie as they do on the whole input. At the border of
        the input the network's padding is right; elsewhere it falsifies only cells that are not wanted.
        """
        first = max(wanted.start * self.stride - self.before, 0)
        return range(first // self.stride * self.stride, min((wanted.stop - 1) * self.stride + self.after + 1, length))


@dataclass(frozen=True)
class Cut:
    """One tensor.

    Attributes:
        name: Its name in the graph.
        node: Position of the node that makes it.
        channels: Number of its channels.
        reach: Its reach into the graph's input, down and across.
    """

    name: str
    node: int
    channels: int
    reach: tuple[Reach, Reach]

    @property
    def density(self) -> float:
        """Number of values that it holds for each pixel of the input."""
        down, across = self.reach
        return self.channels / (down.stride * across.stride)


def worthwhile(graph: onnx.GraphProto) -> list[Cut]:
    """Cuts at which to keep the maps of a whole picture, in order.

    A cut is worthwhile if it holds fewer values than the picture, no more than the cuts before it, and if its cells
    depend on at most half of the picture in each direction: beyond that, nearly all cells change with any change.
    """
    _, channels, *sides = (dimension.dim_value for dimension in graph.input[0].type.tensor_type.shape.dim)
    chosen: list[Cut] = []
    for cut in _cuts(graph, channels):
        near = all(2 * (1 + each.before + each.after) <= side for each, side in zip(cut.reach, sides, strict=True))
        if near and (cut.density <= chosen[-1].density if chosen else cut.density < channels):
            chosen.append(cut)
    return chosen


def part(model: onnx.ModelProto, first: str, last: str, nodes: range) -> bytes:
    """The serialized network of some nodes, from one tensor to another, for inputs of any size."""
    inside = [model.graph.node[node] for node in nodes]
    used = {name for node in inside for name in node.input}
    graph = onnx.helper.make_graph(
        inside,
        "part",
        [
            onnx.helper.make_tensor_value_info(
                first, onnx.TensorProto.FLOAT, ["pictures", "channels", "rows", "columns"]
            )
        ],
        [onnx.ValueInfoProto(name=last)],
        [weights for weights in model.graph.initializer if weights.name in used],
    )
    made = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return made.SerializeToString()


def _cuts(graph: onnx.GraphProto, channels: int) -> Iterator[Cut]:
    weights = {weight.name: list(weight.dims) for weight in graph.initializer}
    last_use = {name: position for position, node in enumerate(graph.node) for name in node.input}
    # The outputs of a graph are used after its end.
    last_use |= {output.name: len(graph.node) for output in graph.output}
    known = {graph.input[0].name: Cut(graph.input[0].name, -1, channels, (Reach(), Reach()))}
    for position, node in enumerate(graph.node):
        made = _made(node, position, [known[name] for name in node.input if name in known], weights)
        if made is None:
            return
        known[made.name] = made
        alive = [each for each in known.values() if last_use.get(each.name, -1) > position]
        if alive == [made]:
            yield made


def _made(node: onnx.NodeProto, position: int, inputs: list[Cut], weights: dict[str, list[int]]) -> Cut | None:
    """The tensor that a node makes of others; None if its cells may depend on more than windows of the input."""
    constants = [weights[name] for name in node.input if name in weights]
    # An input that is neither followed nor constant came through an operation that is not understood here.
    if not inputs or len(inputs) + len(constants) != sum(map(bool, node.input)):
        return None
    channels = max(each.channels for each in inputs)
    step: tuple[Reach, Reach] | None = None
    if node.op_type in _POINTWISE:
        uniform = node.op_type == "BatchNormalization" or all(set(shape[-2:]) <= {1} for shape in constants)
        step = (Reach(), Reach()) if uniform else None
    elif node.op_type in _SLIDING:
        step = _window(node, constants)
        channels = constants[0][0] if node.op_type == "Conv" and constants else channels
    if step is None:
        return None
    down, across = (
        Reach(
            inputs[0].reach[axis].stride,
            max(each.reach[axis].before for each in inputs),
            max(each.reach[axis].after for each in inputs),
        ).then(step[axis])
        for axis in (0, 1)
    )
    return Cut(node.output[0], position, channels, (down, across))


def _window(node: onnx.NodeProto, constants: list[list[int]]) -> tuple[Reach, Reach] | None:
    """The window of a convolution or of pooling; None for kinds that are not supported here."""
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    kernel = given.get("kernel_shape") or (constants[0][2:] if constants else [])
    if len(kernel) != 2 or given.get("auto_pad", b"NOTSET") != b"NOTSET" or given.get("ceil_mode", 0):
        return None
    strides, dilations, pads = given.get("strides", [1, 1]), given.get("dilations", [1, 1]), given.get("pads", [0] * 4)
    down, across = (
        Reach(strides[axis], pads[axis], (kernel[axis] - 1) * dilations[axis] - pads[axis]) for axis in (0, 1)
    )
    return down, across
