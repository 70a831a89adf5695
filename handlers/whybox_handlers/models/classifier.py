"""A packed model in memory: the torch network that can be differentiated and the ONNX network that serves."""

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
import onnxruntime
import torch
from google.protobuf import json_format
from torch import Tensor, nn

from whybox import v1
from whybox.arguments import integer
from whybox_handlers.models import networks
from whybox_handlers.models.arithmetic import gpu_options, kernels, set_up_gpu
from whybox_handlers.models.digests import sha256, sha256_of
from whybox_handlers.models.local_network import LocalNetwork
from whybox_handlers.models.weights import read_weights
from whybox_handlers.pictures.decoding import as_view, decode, preprocess
from whybox_handlers.references import References

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
WEIGHTS = "weights.pth"
ONNX = "network.onnx"
BANK = "bank.binpb"


class Differentiable(nn.Module):
    """Pictures in [0, 1] to logits, by torch.

    Normalisation is inside, so that gradients and distances are in pixel values.

    Attributes:
        features: [N, 3, crop, crop] normalised pictures to the last feature maps, [N, C, h, w]; None for a network
            without such maps.
        head: The feature maps, or without them the pictures, to [N, classes] logits.
    """

    def __init__(self, network: networks.Network, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.features = network.features
        self.head = network.head
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        # Evaluation only: no dropout, fixed batch norms, and gradients with respect to pictures alone.
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, crop, crop] pictures in [0, 1] to [N, classes] logits.

        On a processor the head takes feature maps one by one: its matrix product rounds differently for several rows.
        """
        inputs = (pictures - self.mean) / self.std
        if self.features is None:
            logits: Tensor = self.head(inputs)
            return logits
        maps = self.features(inputs)
        parts = maps.split(1 if maps.device.type == "cpu" else len(maps))
        return torch.cat([self.head(part) for part in parts])

    def stages(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The logits and, for a network with feature maps, the maps that they were computed from."""
        inputs = (pictures - self.mean) / self.std
        if self.features is None:
            return (self.head(inputs),)
        maps = self.features(inputs)
        return self.head(maps), maps


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


class Classifier:
    """One packed model, loaded.

    Attributes:
        model: The manifest.
        network: The torch network, on `device`; float32.
        serving: The network that serves predictions.
        device: The device of `network`. A GPU sets up the arithmetic of the whole process, see `set_up_gpu`.
        batch_sizes: How many rows may share a pass on a processor; without a `runtime` they are not known, and each row
            has its own.
        audited: What the audit of `model.audit` found, by the index of the class; empty without an audit.
        thresholds: The thresholds of prediction sets, one for each method of `model.audit.calibration`.
        references: The pictures of that audit; None without any.
    """

    def __init__(
        self,
        model: v1.Model,
        network: Differentiable,
        serving: Serving,
        device: torch.device,
        batch_sizes: v1.BatchSizes | None = None,
        bank: v1.Bank | None = None,
        references: References | None = None,
    ) -> None:
        if device.type == "cuda":
            set_up_gpu()
        self.model = model
        self.network = network.to(device)
        self.serving = serving
        self.device = device
        self.batch_sizes = batch_sizes or v1.BatchSizes()
        self.audited = {} if bank is None else {audited.class_index: audited for audited in bank.classes}
        self.thresholds = () if bank is None else tuple(bank.thresholds)
        self.references = references

    @classmethod
    def load(cls, directory: Path, device: torch.device | str = "cpu") -> Self:
        """Loads an unpacked archive.

        Raises:
            ValueError: A file is not the one that was packed.
        """
        model = json_format.Parse((directory / MANIFEST).read_text(), v1.Model())
        digests = {WEIGHTS: model.digests.weights_sha256, ONNX: model.digests.onnx_sha256}
        if model.HasField("audit"):
            digests[BANK] = model.audit.bank_sha256
        contents = {name: (directory / name).read_bytes() for name in digests}
        for name, digest in digests.items():
            if sha256(contents[name]) != digest:
                raise ValueError(f"{name} is not the file that was packed; pack {model.name} again")
        network = differentiable(model, directory / WEIGHTS)
        for name, digest in model.audit.references.sha256.items():
            if sha256_of(directory / name) != digest:
                raise ValueError(f"{name} is not the file that was packed; pack {model.name} again")
        references = References(directory) if model.audit.HasField("references") else None
        where = torch.device(device)
        # Sizes that were found with other kernels say nothing about these.
        sizes = model.batch_sizes if model.batch_sizes.runtime == kernels() else None
        bank = v1.Bank.FromString(contents.get(BANK, b""))
        return cls(model, network, OnnxServing(contents[ONNX], where), where, sizes, bank, references)

    def see(
        self, image: bytes, *, view: bool = False, change: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, v1.View]:
        """An encoded picture as the network gets it: [3, crop, crop] in [0, 1], and where in the picture that lies.

        Args:
            image: The encoded picture.
            view: Whether it is the view itself: crop x crop pixels, which are neither resized nor cropped.
            change: What is done to the decoded picture, see `decode`, before it is resized and cropped; None for
                nothing.

        Raises:
            PictureError: It cannot be decoded, or it is to be the view and has another size.
        """
        preprocessing = self.model.preprocessing
        picture = decode(image)
        if change is not None:
            picture = change(picture)
        if view:
            return as_view(picture, preprocessing.crop)
        return preprocess(picture, preprocessing.resize, preprocessing.crop)

    def look(self, pictures: Tensor) -> Served:
        """Logits and feature maps of the serving network for pictures [N, 3, crop, crop] in [0, 1]."""
        size = max(self.batch_sizes.forward, 1) if self.device.type == "cpu" else len(pictures)
        parts = [self.serving(pictures[row : row + size]) for row in range(0, len(pictures), size)]
        return Served.of(tuple(torch.cat(stage) for stage in zip(*parts, strict=True)))

    def serve(self, pictures: Tensor) -> Tensor:
        """The logits of `look`."""
        return self.look(pictures).logits

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Softmax of `serve`: [N, classes], each row summing to 1; float64, on the CPU."""
        return torch.softmax(self.serve(pictures).double(), dim=1)

    def label(self, index: int) -> str:
        """Name of a class.

        Raises:
            TypeError: `index` is no whole number.
            ValueError: The model has no class of this index; an index from the end is none either.
        """
        return self.model.labels[integer("index", index, 0, len(self.model.labels) - 1)]

    def score(self, logits: Tensor, index: int) -> v1.ClassScore:
        """A class with the probability that logits, [classes], give it."""
        probability = float(torch.softmax(logits.double(), dim=0)[index])
        return v1.ClassScore(index=index, label=self.label(index), probability=probability)


def differentiable(model: v1.Model, weights: Path) -> Differentiable:
    """The torch network of a manifest with the weights in a file."""
    network = networks.build(model.architecture, model.num_classes)
    network.load(read_weights(weights))
    return Differentiable(network, list(model.preprocessing.mean), list(model.preprocessing.std))


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
