"""Networks that must not be packed, whatever their export computes."""

import onnx

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
