"""Networks that must not be packed, whatever their export computes."""

from collections.abc import Iterable

import onnx
import torch
from torch import Tensor

from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.networks import MAX_ONNX_BYTES
from whybox_handlers.models.spec import SpecError

_RESHAPES = ("Flatten", "Identity", "Reshape", "Squeeze")
_PROBABILITIES = ("Sigmoid", "HardSigmoid", "Softmax")


class PackError(Exception):
    """The model must not be served; the message says why and what to do."""


def refuse_probabilities(network: bytes) -> None:
    """Refuses a network whose last operation makes probabilities: softmax applies to logits.

    Args:
        network: Serialized ONNX with the output "logits".

    Raises:
        PackError: The last operation is a sigmoid or a softmax.
    """
    graph = onnx.load_from_string(network).graph
    made = {output: node for node in graph.node for output in node.output}
    last = made.get("logits")
    while last is not None and last.op_type in _RESHAPES:
        last = made.get(last.input[0])
    if last is not None and last.op_type in _PROBABILITIES:
        raise PackError(
            f"architecture: the network ends in {last.op_type}, and `head: softmax` needs logits; "
            "remove the last operation from a network with one output per class, train any other anew with softmax"
        )


def refuse_size(network: Differentiable) -> None:
    """Refuses a network whose weights do not fit into one ONNX file.

    Raises:
        SpecError: They do not.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > MAX_ONNX_BYTES:
        raise SpecError(
            f"architecture: the weights take {size / 2**30:.1f} GiB, and an ONNX file holds less than 2 GiB; "
            "choose a smaller architecture"
        )


def refuse_crop(network: Differentiable, crop: int, num_classes: int) -> None:
    """Refuses a crop that the network cannot take.

    Raises:
        SpecError: The forward pass fails, or gives other logits than one per class.
    """
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, 3, crop, crop))
    except Exception as error:  # each network has its own
        reason = str(error).partition("\n")[0]
        raise SpecError(
            f"preprocessing.crop: the network cannot take {crop} x {crop} pixels ({reason}); "
            "use the size that it was trained with"
        ) from error
    if logits.shape != (1, num_classes):
        raise SpecError(
            f"architecture: the network's output has shape {list(logits.shape)} in place of [1, {num_classes}]; "
            "give it one output per class"
        )


def refuse_constant(network: Differentiable, views: Iterable[Tensor]) -> None:
    """Refuses a network that tells neither pictures nor classes apart, such as one whose weights are all zero.

    Args:
        network: On the CPU.
        views: [3, crop, crop] in [0, 1], two or more different ones; looked at only until the answers differ.

    Raises:
        PackError: All pictures have the same logits, or all classes have.
    """
    rows: list[Tensor] = []
    for view in views:
        with torch.no_grad():
            rows.append(network(view[None])[0])
        tells_pictures = not all(row.equal(rows[0]) for row in rows)
        tells_classes = not all(row.equal(row[:1].expand_as(row)) for row in rows)
        if tells_pictures and tells_classes:
            return
    alike = "all classes the same logit" if tells_pictures else "every check picture the same answer"
    raise PackError(f"weights: the network gives {alike}; check that it was trained")
