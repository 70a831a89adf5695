"""A packed model in memory: the torch network that can be differentiated and the ONNX network that serves."""

import hashlib
import logging
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
import torch
from google.protobuf import json_format
from numpy.typing import NDArray
from torch import Tensor, nn

from whybox import v1
from whybox_handlers import networks

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
WEIGHTS = "weights.pth"
ONNX = "network.onnx"


class Differentiable(nn.Module):
    """Pictures in [0, 1] to logits, by torch.

    Normalisation is inside, so that gradients and distances are in pixel values.

    Attributes:
        maps: Identity whose output are the last feature maps, [N, C, h, w]: the layer for class activation maps.
    """

    def __init__(self, network: networks.Network, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.features = network.features
        self.maps = nn.Identity()
        self.head = network.head
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        # Evaluation only: no dropout, fixed batch norms, and gradients with respect to pictures alone.
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, crop, crop] pictures in [0, 1] to [N, classes] logits."""
        logits: Tensor = self.head(self.maps(self.features((pictures - self.mean) / self.std)))
        return logits


class Classifier:
    """One packed model, loaded.

    Attributes:
        model: The manifest.
        network: The torch network, on `device`; float32.
        device: Where `network` computes.
    """

    def __init__(self, model: v1.Model, network: Differentiable, onnx: bytes, device: torch.device) -> None:
        self.model = model
        self.network = network.to(device)
        self.device = device
        self._session = _session(onnx, device)

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> Self:
        """Loads an unpacked archive.

        Raises:
            ValueError: A file is not the one that was packed.
        """
        model = json_format.Parse((directory / MANIFEST).read_text(), v1.Model())
        onnx = (directory / ONNX).read_bytes()
        for content, name, digest in (
            ((directory / WEIGHTS).read_bytes(), WEIGHTS, model.digests.weights_sha256),
            (onnx, ONNX, model.digests.onnx_sha256),
        ):
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError(f"{name} is not the file that was packed; pack {model.name} again")
        network = differentiable(model, directory / WEIGHTS)
        return cls(model, network, onnx, torch.device(device))

    @property
    def provider(self) -> str:
        """Where ONNX Runtime computes, for example "CPUExecutionProvider"."""
        return str(self._session.get_providers()[0])

    def serve(self, pictures: Tensor) -> NDArray[np.float32]:
        """Logits of the network that serves predictions (ONNX Runtime).

        Args:
            pictures: [N, 3, crop, crop] in [0, 1].

        Returns:
            [N, classes] logits.
        """
        contiguous = np.ascontiguousarray(pictures.detach().cpu().numpy())
        logits: NDArray[np.float32] = self._session.run(None, {"pictures": contiguous})[0]
        return logits

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Softmax of `serve`: [N, classes], each row summing to 1; float64, on the CPU."""
        return torch.softmax(torch.from_numpy(self.serve(pictures)).double(), dim=1)

    def label(self, index: int) -> str:
        """Name of a class."""
        return self.model.labels[index]


def differentiable(model: v1.Model, weights: Path) -> Differentiable:
    """The torch network of a manifest with the weights in a file."""
    network = networks.build(model.architecture, model.num_classes)
    network.load(networks.read_weights(str(weights)))
    return Differentiable(network, list(model.preprocessing.mean), list(model.preprocessing.std))


def _session(onnx: bytes, device: torch.device) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # The worker's share of the machine is set once, by OMP_NUM_THREADS; torch has read it.
    options.intra_op_num_threads = torch.get_num_threads()
    # Asked for only where torch sees a GPU: elsewhere ONNX Runtime would warn and fall back.
    providers: list[tuple[str, dict[str, object]]] = [("CPUExecutionProvider", {})]
    if device.type == "cuda":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    session = onnxruntime.InferenceSession(onnx, options, providers=providers)
    if session.get_providers()[0] != providers[0][0]:
        _log.warning("ONNX Runtime cannot use %s; predictions run on %s", providers[0][0], session.get_providers()[0])
    return session
