"""Chooses who computes gradients on a processor: the fastest runtime that computes them right."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.digests import sha256
from whybox_handlers.models.runtimes.differentiators import (
    ANY_RIVAL,
    CompiledDifferentiator,
    CompiledRuntime,
    Differentiator,
    Runtime,
    TorchDifferentiator,
    runs,
    version_of,
)
from whybox_handlers.packing.gradient_export import GradientExportError, export_gradient
from whybox_handlers.packing.refusals import PackError
from whybox_handlers.packing.side_by_side import one_thread

MAX_DIFFERENCE = 1e-4
"""Largest difference of a gradient from torch's, as a share of the range of its values, unless torch rounds as much."""

# A second library must be worth having: OpenVINO computes only where its time is at most this share of ONNX Runtime's.
_WORTH = 0.85
_ROUNDS = 20
# Pictures on which gradients are compared.
_COMPARED = 4
# Grey areas of a picture make equal values, of which max pooling and ReLU choose one. Noise of this size decides.
_NOISE = 1e-6
# Torch's own float32 may be as far from float64 as this share of the difference that is allowed.
_OF_TORCH = 2.0


_COMPILED: Sequence[CompiledRuntime] = get_args(CompiledRuntime)


class _Trial(NamedTuple):
    """A candidate: its differentiator and how far it is from torch."""

    differentiator: Differentiator
    difference: float


def compile_gradient(
    classifier: Classifier, views: Tensor, pinned: Runtime | None, streams: int, report: Callable[[str], None]
) -> bytes | None:
    """Compiles the gradient and gives the classifier and its manifest what computes it best.

    Args:
        classifier: On the CPU, with torch's gradients.
        views: [N, 3, crop, crop] in [0, 1], real pictures.
        pinned: The runtime that the spec asks for; None for the best.
        streams: How many threads will compute at once.
        report: Called with each step, in a few words.

    Returns:
        The graph, for the archive; None if torch computes.

    Raises:
        PackError: The pinned runtime is not installed or cannot compute the gradient.
    """
    chosen = classifier.model.gradient
    chosen.runtime, chosen.version = "torch", version_of("torch")
    if pinned == "torch":
        chosen.reason = "the spec asks for torch"
        return None
    if pinned and not runs(pinned):
        raise PackError(f"gradient: {pinned} is not installed, or not made for this processor; leave the entry out")
    candidates = [pinned] if pinned else [name for name in _COMPILED if runs(name)]
    report("compiling the gradient")
    try:
        graph = export_gradient(classifier.network, classifier.model.preprocessing.crop, classifier.model.num_classes)
    except GradientExportError as error:
        _keep_torch(chosen, f"the gradient cannot be compiled: {error}", pinned)
        return None
    report("comparing compiled gradients with torch's")
    with one_thread():
        trials, faults = _trials(classifier, graph, views, candidates, streams)
        if not trials:
            _keep_torch(chosen, "; ".join(faults), pinned)
            return None
        report("timing gradients")
        timed: dict[Runtime, Differentiator] = {"torch": classifier.differentiator}
        timed.update({name: trial.differentiator for name, trial in trials.items()})
        times = _times(timed, views[0])
    best = min(trials, key=lambda name: times[name] / _WORTH if name == "openvino" else times[name])
    chosen.time_ratio = times[best] / times["torch"]
    if chosen.time_ratio >= 1 and not pinned:
        _keep_torch(chosen, f"{best} takes {chosen.time_ratio:.2f} times as long as torch", pinned)
        return None
    chosen.runtime, chosen.version, chosen.difference = best, version_of(best), trials[best].difference
    classifier.model.digests.gradient_sha256 = sha256(graph)
    classifier.differentiator = trials[best].differentiator
    return graph


def _keep_torch(chosen: v1.Gradient, reason: str, pinned: Runtime | None) -> None:
    """Notes why torch computes, unless something else must."""
    if pinned:
        raise PackError(f"gradient: {pinned} cannot be used: {reason}; leave the entry out")
    chosen.reason = reason


def _trials(
    classifier: Classifier, graph: bytes, views: Tensor, names: Sequence[CompiledRuntime], streams: int
) -> tuple[dict[CompiledRuntime, _Trial], list[str]]:
    """The candidates whose gradients are right, and what is wrong with the others."""
    noise = torch.rand(views[:_COMPARED].shape, generator=torch.Generator().manual_seed(0))
    pictures = (views[:_COMPARED] * (1 - _NOISE) + _NOISE * noise).clamp(0, 1)
    labels = classifier.serve(pictures).argmax(dim=1)
    by_torch = _gradients(classifier.differentiator, pictures, labels)
    exactly = copy.deepcopy(classifier.network).double()
    exact = _gradients(TorchDifferentiator(lambda: exactly, classifier.device), pictures.double(), labels)
    allowed = max(MAX_DIFFERENCE, _OF_TORCH * _difference(by_torch, exact))
    trials: dict[CompiledRuntime, _Trial] = {}
    faults = []
    for name in names:
        differentiator = CompiledDifferentiator(graph, name, classifier.model.num_classes, streams)
        try:
            difference = _difference(_gradients(differentiator, pictures, labels), exact)
        except Exception as error:  # noqa: BLE001 (each runtime has errors of its own, and another one may do)
            faults.append(f"{name} cannot run the gradient: {str(error).strip().partition(chr(10))[0]}")
            continue
        if difference <= allowed:
            trials[name] = _Trial(differentiator, difference)
        else:
            faults.append(f"gradients of {name} differ from torch's by {difference:.2g} of their range")
    return trials, faults


def _gradients(differentiator: Differentiator, pictures: Tensor, labels: Tensor) -> Tensor:
    """Gradients of the labels' leads, [N, 3, H, W]."""
    _, gradients = differentiator.margins(pictures, labels, torch.full_like(labels, ANY_RIVAL))
    return gradients


def _difference(gradients: Tensor, exact: Tensor) -> float:
    """The largest difference of a value, as a share of the range of its picture's gradient; the median picture's."""
    range_ = (exact.amax(dim=(1, 2, 3)) - exact.amin(dim=(1, 2, 3))).clamp(min=torch.finfo(torch.float32).tiny)
    return float(((gradients - exact).abs().amax(dim=(1, 2, 3)) / range_).median())


def _times(differentiators: Mapping[Runtime, Differentiator], view: Tensor) -> dict[Runtime, float]:
    """Seconds of one gradient, by runtime: the median of rounds in which each computes once."""
    first, any_rival = torch.tensor([0]), torch.tensor([ANY_RIVAL])
    seconds: dict[Runtime, list[float]] = {name: [] for name in differentiators}
    for _ in range(_ROUNDS):
        for name, differentiator in differentiators.items():
            started = time.perf_counter()
            differentiator.margins(view[None], first, any_rival)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(measured) for name, measured in seconds.items()}
