"""The network that serves predictions, by ONNX Runtime or by torch."""

import logging
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from whybox_handlers.models.arithmetic import gpu_options
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.local_network import LocalNetwork

_log = logging.getLogger(__name__)


class Served(NamedTuple):
    """What the serving network makes of pictures, or of one; float32, on the CPU.

    Attributes:
        logits: [N, classes], or [classes].
        maps: [N, C, h, w], or [C, h, w]: the last feature maps; None for a network without such maps.
    """

    logits: Tensor
    maps: Tensor | None

    @classmethod
    def of(cls, stages: tuple[Tensor, ...]) -> Self:
        """From the outputs of `Serving`."""
        logits, *maps = stages
        return cls(logits, maps[0] if maps else None)

    def row(self, index: int) -> Self:
        """One picture of several."""
        return type(self)(self.logits[index], None if self.maps is None else self.maps[index])


class Serving(Protocol):
    """The network that serves predictions."""

    @property
    def provider(self) -> str:
        """The provider that computes, for example "CPUExecutionProvider"."""

    @property
    def local(self) -> LocalNetwork | None:
        """The same for small changes of a known picture; None if the network has no such form or gains nothing."""

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """As `Differentiable.stages`, on the CPU."""


class OnnxServing:
    """An ONNX network run by ONNX Runtime.

    Args:
        onnx: The serialized network: "pictures" to "logits" and perhaps "maps".
        device: The device of torch; ONNX Runtime computes there too if it can.
    """

    def __init__(self, onnx: bytes, device: torch.device) -> None:
        options = onnxruntime.SessionOptions()
        # OMP_NUM_THREADS sets the worker's share of the machine; torch has read it.
        options.intra_op_num_threads = torch.get_num_threads()
        # CUDA only if torch sees a GPU: otherwise ONNX Runtime would warn and fall back.
        providers: list[tuple[str, dict[str, object]]] = [("CPUExecutionProvider", {})]
        if device.type == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", gpu_options(device)))
        self._session = onnxruntime.InferenceSession(onnx, options, providers=providers)
        self._onnx, self._options = onnx, options
        if self.provider != providers[0][0]:
            _log.warning("ONNX Runtime cannot use %s; predictions run on %s", providers[0][0], self.provider)

    @property
    def provider(self) -> str:
        """The provider that computes, for example "CPUExecutionProvider"."""
        return str(self._session.get_providers()[0])

    @cached_property
    def local(self) -> LocalNetwork | None:
        """See `Serving`; made on first use, because it holds a second copy of the weights."""
        if self.provider != "CPUExecutionProvider":
            return None
        local = LocalNetwork(self._onnx, self._options)
        return local if local.stages else None

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See `Serving`."""
        contiguous = np.ascontiguousarray(pictures.detach().cpu().numpy())
        return tuple(torch.from_numpy(output) for output in self._session.run(None, {"pictures": contiguous}))


class TorchServing:
    """The torch network in place of an exported one, for networks that are not packed."""

    provider = "torch"
    local = None

    def __init__(self, network: Differentiable) -> None:
        self._network = network

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """See `Serving`."""
        with torch.no_grad():
            return tuple(stage.cpu() for stage in self._network.stages(pictures.to(self._network.mean.device)))
