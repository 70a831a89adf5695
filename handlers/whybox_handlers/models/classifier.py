"""A packed model in memory: the network that serves, the one that gives gradients, and the findings of its audit."""

import logging
from collections.abc import Callable
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Self

import torch
from google.protobuf import json_format
from torch import Tensor

from whybox import v1
from whybox.arguments import integer
from whybox_handlers.models.arithmetic import kernels, set_up_gpu
from whybox_handlers.models.differentiable import Differentiable, differentiable
from whybox_handlers.models.digests import sha256_of
from whybox_handlers.models.runtimes.differentiators import (
    CompiledDifferentiator,
    CompiledRuntime,
    Differentiator,
    TorchDifferentiator,
    runs,
)
from whybox_handlers.models.runtimes.serving import OnnxServing, Served, Serving
from whybox_handlers.models.weights import weights_in
from whybox_handlers.pictures.decoding import as_view, decode, preprocess
from whybox_handlers.references import References

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
WEIGHTS = "weights.pth"
ONNX = "network.onnx"
GRADIENT = "gradient.onnx"
BANK = "bank.binpb"


class Classifier:
    """One packed model, loaded.

    Attributes:
        model: The manifest.
        serving: The network that serves predictions.
        differentiator: Computes gradients of pictures.
        device: The device of `network`. A GPU sets up the arithmetic of the whole process, see `set_up_gpu`.
        batch_sizes: How many rows may share a pass on a processor; without a `runtime` they are not known, and each row
            has its own.
        audited: What the audit of `model.audit` found, by the index of the class; empty without an audit.
        thresholds: The thresholds of prediction sets, one for each method of `model.audit.calibration`.
        references: The pictures of that audit; None without any.

    Args:
        network: The torch network, or the content of the file of its weights, of which it is built at its first use.
        bank: The findings of the audit; None without one.
        differentiator: None for torch.
    """

    def __init__(
        self,
        model: v1.Model,
        network: Differentiable | mmap,
        serving: Serving,
        device: torch.device,
        batch_sizes: v1.BatchSizes | None = None,
        bank: v1.Bank | None = None,
        references: References | None = None,
        differentiator: Differentiator | None = None,
    ) -> None:
        if device.type == "cuda":
            set_up_gpu()
        self.model = model
        self._network = network
        self.serving = serving
        self.differentiator = differentiator or TorchDifferentiator(lambda: self.network, device)
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
        if model.digests.gradient_sha256:
            digests[GRADIENT] = model.digests.gradient_sha256
        for name, digest in [*digests.items(), *model.audit.references.sha256.items()]:
            if sha256_of(directory / name) != digest:
                raise ValueError(f"{name} is not the file that was packed; pack {model.name} again")
        references = References(directory) if model.audit.HasField("references") else None
        where = torch.device(device)
        # Sizes that were found with other kernels say nothing about these.
        sizes = model.batch_sizes if model.batch_sizes.runtime == kernels() else None
        bank = v1.Bank.FromString((directory / BANK).read_bytes() if BANK in digests else b"")
        serving = OnnxServing((directory / ONNX).read_bytes(), where)
        compiled = _compiled(model, directory / GRADIENT, where)
        return cls(model, _mapped(directory / WEIGHTS), serving, where, sizes, bank, references, compiled)

    @cached_property
    def network(self) -> Differentiable:
        """The torch network, on `device`; float32."""
        network = self._network
        if isinstance(network, mmap):
            network = differentiable(self.model, weights_in(network))
        return network.to(self.device)

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


def _mapped(path: Path) -> mmap:
    """A file in the address space: it takes memory when it is read, and stays there when its folder is gone."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def _compiled(model: v1.Model, graph: Path, device: torch.device) -> Differentiator | None:
    """What packing chose, as far as it is here; None for torch."""
    if device.type != "cpu" or not model.digests.gradient_sha256:
        return None
    runtime: CompiledRuntime = "openvino" if model.gradient.runtime == "openvino" else "onnxruntime"
    if not runs(runtime):
        _log.warning(
            "OpenVINO, which is faster for gradients of %s, is not installed; ONNX Runtime computes", model.name
        )
        runtime = "onnxruntime"
    return CompiledDifferentiator(_mapped(graph), runtime, model.num_classes)
