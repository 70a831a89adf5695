"""From the torch network to one ONNX graph that computes logits and a gradient.

Autograd runs while the graph is traced, so that the graph holds the operations of the pass forward and back. ONNX has
no backward forms of operations: those that torch's own decompositions leave are written here as forward ones.
"""

import copy
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own documentation calls it so)
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from whybox_handlers.models.differentiable import Differentiable

aten = torch.ops.aten


class GradientExportError(Exception):
    """The gradient cannot be written as a graph; the message says why, as the end of a sentence."""


def export_gradient(network: Differentiable, crop: int, classes: int) -> bytes:
    """The network and its gradient as serialized ONNX, for one picture.

    Inputs:
        picture: [1, 3, crop, crop] in [0, 1].
        weights: [classes] of the logits, in the objective.
        label: Scalar, int64: the class whose lead over the rival is added to the objective; -1 for none.
        rival: Scalar, int64; -1 for the class other than the label with the largest logit.

    Outputs:
        logits: [1, classes].
        gradient: [1, 3, crop, crop], of the objective with respect to the picture.

    Args:
        network: On the CPU.
        crop: Side of the picture, pixels.
        classes: Number of classes.

    Raises:
        GradientExportError: An operation has no form that ONNX knows.
    """
    example = (torch.rand(1, 3, crop, crop), torch.zeros(classes), torch.tensor(0), torch.tensor(-1))
    network = _folded(network, example[0])
    try:
        # Fused attention has no gradient that ONNX knows; its plain form has.
        with _PlainForms(), sdpa_kernel(SDPBackend.MATH):
            traced = make_fx(_pass_and_gradient(network, classes))(*example)
        # Without writing to tensors in place, which ONNX cannot.
        graph = make_fx(functionalize(traced), decomposition_table=_decompositions())(*example)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                example,
                input_names=["picture", "weights", "label", "rival"],
                output_names=["logits", "gradient"],
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        raise GradientExportError(str(error).strip().partition("\n")[0]) from error
    if program is None:
        raise GradientExportError("torch exported nothing")
    model = program.model_proto
    _give_own_weights(model.graph)
    _drop_unused_weights(model.graph)
    return model.SerializeToString()


def _give_own_weights(graph: onnx.GraphProto) -> None:
    """Gives each transposed convolution weights of its own.

    OpenVINO 2026.4 lays out weights that a plain and a transposed convolution share once, in the order of one of the
    two, if both have the same shape.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "ConvTranspose" and node.input[1] in weights:
            own = graph.initializer.add()
            own.CopyFrom(weights[node.input[1]])
            own.name = node.input[1] = f"{node.output[0]}_weights"


def _drop_unused_weights(graph: onnx.GraphProto) -> None:
    """Drops what no operation reads: ONNX Runtime warns of it at each load."""
    read = {name for node in graph.node for name in node.input}
    for weight in [weight for weight in graph.initializer if weight.name not in read]:
        graph.initializer.remove(weight)


def _folded(network: Differentiable, picture: Tensor) -> Differentiable:
    """A copy whose batch norms are part of the convolutions before them: neither pass computes them then.

    Norms follow convolutions whose very output they take. A network that uses that output elsewhere too gets other
    logits, which the comparison with torch finds.
    """
    folded = copy.deepcopy(network)
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            # Kept, so that no other tensor gets its identity.
            made[id(output)] = layer, output
        elif isinstance(layer, nn.BatchNorm2d) and id(inputs[0]) in made:
            pairs[layer] = made[id(inputs[0])][0]

    hooks = [layer.register_forward_hook(note) for layer in folded.modules()]
    with torch.no_grad():
        folded(picture)
    for hook in hooks:
        hook.remove()
    # A layer that runs twice has two partners.
    convolutions = Counter(pairs.values())
    for parent in list(folded.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d) and layer in pairs and convolutions[pairs[layer]] == 1:
                convolution = pairs[layer]
                fused = fuse_conv_bn_eval(convolution, layer)
                convolution.weight, convolution.bias = fused.weight, fused.bias
                setattr(parent, name, nn.Identity())
    return folded.requires_grad_(False)


def _pass_and_gradient(network: nn.Module, classes: int) -> Callable[..., tuple[Tensor, Tensor]]:
    def both(picture: Tensor, weights: Tensor, label: Tensor, rival: Tensor) -> tuple[Tensor, Tensor]:
        picture = picture.detach().requires_grad_()
        logits = network(picture)
        index = torch.arange(classes)
        is_label = index == label
        best = torch.where(is_label, -math.inf, logits[0].detach()).argmax()
        lead = is_label.float() - (index == torch.where(rival < 0, best, rival)).float()
        objective = weights + torch.where(label < 0, torch.zeros_like(lead), lead)
        (gradient,) = torch.autograd.grad(logits, picture, objective[None])
        return logits.detach(), gradient

    return both


class _PlainForms(TorchFunctionMode):
    """Functions whose gradients depend on strides, in forms whose gradients do not."""

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See `TorchFunctionMode`."""
        if function is F.adaptive_avg_pool2d and args[1] in (1, (1, 1), [1, 1]):
            return args[0].mean((2, 3), keepdim=True)
        return function(*args, **kwargs or {})


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Torch's, and those of backward operations that it keeps whole."""
    own = {
        aten.convolution_backward.default: _convolution_backward,
        aten.avg_pool2d_backward.default: _avg_pool2d_backward,
        # The exporter forgets that what is copied may be smaller.
        aten.copy.default: lambda kept, copied, _=False: copied.to(kept.dtype).expand(kept.shape),
    }
    return {**core_aten_decompositions(), **own}


def _convolution_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,  # noqa: ARG001 (of the operation)
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],  # noqa: ARG001 (of the operation)
    groups: int,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradient with respect to the inputs alone: as a convolution with flipped kernels where it can be one.

    Runtimes compute that faster than a transposed convolution, which other strides need.
    """
    if transposed or mask[1] or mask[2]:
        raise GradientExportError("a transposed convolution, or the gradient of a weight, has no form here")
    outputs, channels, *kernel = weight.shape
    before = [reach * (size - 1) - pad for reach, size, pad in zip(dilation, kernel, padding, strict=True)]
    if all(step == 1 for step in stride) and min(before) >= 0:
        flipped = weight.reshape(groups, outputs // groups, channels, *kernel).transpose(1, 2)
        flipped = flipped.reshape(groups * channels, outputs // groups, *kernel).flip(2, 3)
        return aten.convolution(gradient, flipped, None, [1, 1], before, dilation, False, [0, 0], groups), None, None
    return _spread(gradient, weight, inputs.shape[2:], stride, padding, dilation, groups), None, None


def _avg_pool2d_backward(
    gradient: Tensor,
    inputs: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Each cell's share spread over its window, as a transposed convolution with a kernel of equal weights."""
    if ceil_mode or (any(padding) and not count_include_pad):
        raise GradientExportError("average pooling whose windows differ in size has no form here")
    channels = inputs.shape[1]
    weight = torch.full((channels, 1, *kernel), 1 / (divisor or math.prod(kernel)))
    return _spread(gradient, weight, inputs.shape[2:], stride or kernel, padding, [1, 1], channels)


def _spread(
    gradient: Tensor,
    weight: Tensor,
    sides: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """The transposed convolution to a map with these sides."""
    missing = [
        side - ((cells - 1) * step - 2 * pad + reach * (size - 1) + 1)
        for side, cells, step, pad, reach, size in zip(
            sides, gradient.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    spread: Tensor = aten.convolution(gradient, weight, None, stride, padding, dilation, True, missing, groups)
    return spread
