"""From the torch network to the ONNX network that serves."""

import torch
from torch import Tensor, nn

from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.packing.refusals import PackError


def export(network: Differentiable, crop: int) -> bytes:
    """The network as serialized ONNX, for any number N of pictures.

    The input is "pictures", [N, 3, crop, crop] in [0, 1]. The outputs are "logits", [N, classes], and, for a network
    with feature maps, "maps", [N, C, h, w].

    Raises:
        PackError: Torch cannot export it.
    """
    # Two pictures, because torch.export takes a batch of one for a constant.
    example = torch.zeros(2, 3, crop, crop)
    try:
        program = torch.onnx.export(
            _Stages(network).eval(),
            (example,),
            input_names=["pictures"],
            output_names=["logits"] if network.features is None else ["logits", "maps"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise PackError(f"architecture: torch cannot export the network to ONNX ({reason}); choose another") from error
    if program is None:
        raise PackError("architecture: torch exported nothing; choose another")
    return program.model_proto.SerializeToString()


class _Stages(nn.Module):
    """The network with logits and feature maps as outputs; `Differentiable` itself returns only the logits."""

    def __init__(self, network: Differentiable) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return self.network.stages(pictures)
