"""Who computes gradients: torch, or the graph that packing compiled, run by ONNX Runtime or OpenVINO."""

import math
import platform
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from mmap import mmap
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from whybox_handlers.models.differentiable import Differentiable

ANY_RIVAL = -1
"""In place of a rival: the class other than the label with the largest logit."""

CompiledRuntime = Literal["onnxruntime", "openvino"]
Runtime = Literal["torch", CompiledRuntime]
PACKAGES: Mapping[Runtime, str] = {"torch": "torch", "onnxruntime": "onnxruntime-gpu", "openvino": "openvino"}
"""The package of each runtime."""

# In place of a label, for the graph: nothing is added to the weighted logits.
_NO_LABEL = -1

Feed = Mapping[str, NDArray[Any]]
Run = Callable[[Feed], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""The inputs of `packing.gradient_export` to its outputs."""


class Differentiator(Protocol):
    """Computes gradients of the logits with respect to pictures."""

    @property
    def runtime(self) -> Runtime:
        """What computes."""

    @property
    def separates(self) -> bool:
        """Whether each row gets the bits that it has alone, however many are given."""

    def objectives(self, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of the logits, [N], and their gradients, [N, 3, H, W]; on the CPU.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            objectives: [N, classes]: weights of the logits.
        """

    def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] and the gradients [N, 3, H, W] of the labels' leads over the rivals; on the CPU.

        Each row has bits of its own on a processor.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            labels: [N].
            rivals: [N]; -1 is the best other.
        """


class TorchDifferentiator:
    """Torch's autograd.

    Args:
        network: Gives the network, which may be loaded at its first use.
        device: Where the network is.
    """

    runtime: Runtime = "torch"
    separates = False

    def __init__(self, network: Callable[[], Differentiable], device: torch.device) -> None:
        self._network, self._device = network, device

    def objectives(self, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`."""
        inputs = pictures.detach().to(self._device).requires_grad_()
        values = (self._network()(inputs) * objectives.to(self._device)).sum(dim=1)
        (gradients,) = torch.autograd.grad(values.sum(), inputs)
        return values.detach().cpu(), gradients.cpu()

    def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`; on a processor row by row.

        Kernels round differently for several rows, which a search amplifies. Rows of the same picture, which differ in
        the rival alone, share the pass forward.
        """
        network, device = self._network(), self._device
        size = 1 if device.type == "cpu" else len(pictures)
        parts: list[tuple[Tensor, Tensor]] = []
        inputs = logits = torch.empty(0)
        for row in range(0, len(pictures), size):
            if not (row and size == 1 and torch.equal(pictures[row], pictures[row - 1])):
                inputs = pictures[row : row + size].detach().to(device).requires_grad_()
                logits = network(inputs)
            margins = _margins(logits, labels[row : row + size].to(device), rivals[row : row + size].to(device))
            (gradients,) = torch.autograd.grad(margins.sum(), inputs, retain_graph=True)
            parts.append((logits.detach().cpu(), gradients.cpu()))
        of_logits, of_gradients = zip(*parts, strict=True)
        return torch.cat(of_logits), torch.cat(of_gradients)


def _margins(logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    rows = torch.arange(len(logits), device=logits.device)
    others = logits.detach().clone()
    others[rows, labels] = -math.inf
    against = torch.where(rivals == ANY_RIVAL, others.argmax(dim=1), rivals)
    return logits[rows, labels] - logits[rows, against]


class CompiledDifferentiator:
    """A graph of one picture's logits and gradient, on a processor; see `packing.gradient_export`.

    Args:
        graph: The serialized graph; what is mapped is read at the first use.
        runtime: What runs it.
        classes: Number of classes.
        streams: How many threads may compute at once.
    """

    separates = True

    def __init__(self, graph: bytes | mmap, runtime: CompiledRuntime, classes: int, streams: int = 1) -> None:
        self.runtime: Runtime = runtime
        self._graph, self._classes, self._streams = graph, classes, streams

    @cached_property
    def _run(self) -> Run:
        graph = bytes(self._graph)
        return _OpenVino(graph, self._streams) if self.runtime == "openvino" else _OnnxRuntime(graph)

    def objectives(self, pictures: Tensor, objectives: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`."""
        rows = torch.full((len(pictures),), _NO_LABEL)
        logits, gradients = self._rows(pictures, objectives, rows, rows)
        return (logits * objectives).sum(dim=1), gradients

    def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """See `Differentiator`."""
        nothing = torch.zeros(1, self._classes).expand(len(pictures), -1)
        return self._rows(pictures, nothing, labels, rivals)

    def _rows(self, pictures: Tensor, weights: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        logits, gradients = [], []
        for picture, objective, label, rival in zip(pictures, weights, labels, rivals, strict=True):
            of_logits, gradient = self._run(
                {
                    "picture": np.ascontiguousarray(picture.detach()[None].numpy()),
                    "weights": np.ascontiguousarray(objective.numpy()),
                    "label": label.numpy(),
                    "rival": rival.numpy(),
                }
            )
            logits.append(torch.from_numpy(of_logits))
            gradients.append(torch.from_numpy(gradient))
        return torch.cat(logits), torch.cat(gradients)


class _OnnxRuntime:
    """A graph run by ONNX Runtime."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, feed: Feed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, gradient = self._session.run(None, feed)
        return logits, gradient


class _OpenVino:
    """A graph run by OpenVINO, with the threads that torch has."""

    def __init__(self, graph: bytes, streams: int) -> None:
        # Imported where it computes: few processes need it.
        import openvino

        core = openvino.Core()
        self._compiled = core.compile_model(
            core.read_model(graph),
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams * torch.get_num_threads(),
                # Several workers pinned to the same cores would wait for each other.
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )
        # A request holds the tensors of one pass, and is for one thread.
        self._own = threading.local()

    def __call__(self, feed: Feed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        request: Any = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        logits, gradient = request.infer(feed).values()
        return logits, gradient


def runs(runtime: Runtime) -> bool:
    """Whether a runtime is installed and made for this processor."""
    if runtime == "openvino" and platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return version_of(runtime) != ""


def version_of(runtime: Runtime) -> str:
    """Its version; empty if it is not installed."""
    try:
        return version(PACKAGES[runtime])
    except PackageNotFoundError:
        return ""
