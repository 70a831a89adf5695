"""Everything that a worker can be asked for, of a network that is so small that it takes no time."""

from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from architectures import network_of
from whybox import v1
from whybox_handlers.explanations.examples import EXAMPLE
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.robustness.corruptions import CORRUPTIONS

SIDE = 32
CLASSES = 10
# Seconds of a pass of each network.
SERVED, DIFFERENTIATED = 0.01, 0.05
QUALITY = ["deletion", "insertion", "infidelity", "sensitivity", "stability"]


def classifier() -> Classifier:
    """Two convolutions and a linear layer; random weights."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
    network = network_of(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(8, CLASSES), features=features)
    differentiable = Differentiable(network, [0.5] * 3, [0.25] * 3)
    model = v1.Model(
        num_classes=CLASSES,
        labels=[f"class {index}" for index in range(CLASSES)],
        preprocessing=v1.Preprocessing(resize=SIDE, crop=SIDE),
    )
    return Classifier(model, differentiable, TorchServing(differentiable), torch.device("cpu"))


def png() -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def work_of(asked: str) -> v1.Work:
    """Work without a deadline for a key of `ASKED`."""
    parts, twin = ASKED[asked]
    work = v1.Work(request=v1.AnalyzeRequest(image=png(), seed=3, **parts))
    if twin:
        work.twin.CopyFrom(map_options(twin))
    return work


def map_options(method: str, **options: Any) -> v1.ExplanationOptions:
    """The options of a map, with defaults filled in, but few evaluations."""
    row = EXPLAINERS[method]
    filled = row.defaults(method)
    if filled.max_evaluations:
        filled.max_evaluations = 60
    filled.channels = "sum"
    filled.encodings.append("float32")
    filled.MergeFrom(v1.ExplanationOptions(**options))
    return filled


METHODS = [name for name in EXPLAINERS if name != EXAMPLE]
ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "prediction": ({"prediction": v1.PredictionOptions(top_k=3)}, ""),
    "bias": ({"bias": v1.BiasOptions()}, ""),
    "certificate": ({"certified": v1.CertifiedOptions(sigma=0.25, samples=50, alpha=0.01)}, ""),
    **{method: ({"explanations": [map_options(method)]}, "") for method in METHODS},
    **{
        f"{method}, {name}": ({"explanations": [map_options(method, **options)]}, "")
        for method in ("saliency", "smooth_grad")
        for name, options in {"quality": {"quality": QUALITY}, "regions": {"encodings": ["regions"]}}.items()
    },
    **{
        name: ({"robustness": v1.RobustnessOptions(norms=[ATTACKS[name].norms[0]], budget="12", attack=name)}, "")
        for name in ATTACKS
    },
    "encodings": (
        {"robustness": v1.RobustnessOptions(norms=["linf", "l2"], budget="6", attack="fmn", encodings=["adversarial"])},
        "",
    ),
    "twin": (
        {"robustness": v1.RobustnessOptions(norms=["linf"], budget="6", attack="fmn", twin="smooth_grad")},
        "smooth_grad",
    ),
    "corruptions": (
        {"robustness": v1.RobustnessOptions(norms=["linf"], budget="3", attack="fmn", corruptions=[*CORRUPTIONS][:4])},
        "",
    ),
}
