"""A result that time has changed says so, whatever was asked and whenever time ended; the gateway keeps the others."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf.message import Message
from google.rpc import code_pb2
from PIL import Image
from torch import nn

from architectures import network_of
from clocks import Clock, slowed
from whybox import v1
from whybox_handlers.analyzer import Analyzer
from whybox_handlers.explanations.examples import EXAMPLE
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier, Differentiable, TorchServing
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.robustness.corruptions import CORRUPTIONS

SIDE = 32
CLASSES = 10
# Seconds of a pass of each network.
SERVED, DIFFERENTIATED = 0.01, 0.05
# From no time at all to more than anything here takes.
SECONDS = (0.0, 0.02, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0, 100.0)
QUALITY = ["deletion", "insertion", "infidelity", "sensitivity", "stability"]


@pytest.fixture(scope="module")
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


def answered(classifier: Classifier, parts: Mapping[str, Any], twin: str, seconds: float) -> v1.WorkResult:
    """What a worker answers that has this time on a clock that only passes turn."""
    clock = Clock()
    work = v1.Work(request=v1.AnalyzeRequest(image=png(), seed=3, **parts))
    if twin:
        work.twin.CopyFrom(map_options(twin))
    work.aim.FromNanoseconds(int((clock() + 0.9 * seconds) * 1e9))
    work.deadline.FromNanoseconds(int((clock() + seconds) * 1e9))
    (result,) = Analyzer(slowed(classifier, clock, SERVED, DIFFERENTIATED), clock).answer([work])
    return result


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


@pytest.mark.parametrize("asked", ASKED)
def test_what_time_has_changed_says_so(classifier: Classifier, asked: str) -> None:
    parts, twin = ASKED[asked]
    patient = answered(classifier, parts, twin, 10_000)
    assert all(code == code_pb2.OK for code in codes(patient.response)), patient.response
    assert not patient.cut_short
    results = [answered(classifier, parts, twin, seconds) for seconds in SECONDS]
    for seconds, result in zip(SECONDS, results, strict=True):
        # The first pieces of long work are not its end.
        if result.final and not result.cut_short:
            assert result.response == patient.response, f"{seconds} s"
    assert results[0].cut_short, "no time at all"
    # Some deadlines leave the answer alone, so that the flag is not always up.
    assert any(not result.cut_short for result in results)


def codes(message: Message) -> list[int]:
    """The codes of all statuses in a message."""
    found = []
    for field, value in message.ListFields():
        if field.name == "status":
            found.append(value.code)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += [code for each in (value if field.is_repeated else [value]) for code in codes(each)]
    return found
