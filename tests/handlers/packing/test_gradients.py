"""Which runtime packing chooses for gradients, and what it says of it."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_pictures
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.digests import sha256
from whybox_handlers.models.runtimes import differentiators
from whybox_handlers.models.runtimes.differentiators import CompiledDifferentiator, Runtime, runs, version_of
from whybox_handlers.packing import gradients
from whybox_handlers.packing.gradients import compile_gradient
from whybox_handlers.packing.refusals import PackError

SIDE, CLASSES = 20, 3
needs_openvino = pytest.mark.skipif(not runs("openvino"), reason="OpenVINO is not installed, or not for this processor")


def classifier(*layers: nn.Module) -> Classifier:
    torch.manual_seed(0)
    flat = nn.Sequential(*layers)(torch.zeros(1, 3, SIDE, SIDE)).flatten(1).shape[1]
    made = classifier_of(network_of(*layers, nn.Flatten(), nn.Linear(flat, CLASSES)))
    made.model.MergeFrom(v1.Model(num_classes=CLASSES, preprocessing=v1.Preprocessing(resize=SIDE, crop=SIDE)))
    return made


def chosen(of: Classifier, pinned: Runtime | None = None) -> bytes | None:
    return compile_gradient(of, random_pictures(2, SIDE), pinned, 2, lambda _: None)


def timed(monkeypatch: pytest.MonkeyPatch, seconds: Mapping[str, float]) -> None:
    monkeypatch.setattr(gradients, "_times", lambda timed, _: {name: seconds[name] for name in timed})


@needs_openvino
@pytest.mark.parametrize(
    ("torchs", "onnxruntimes", "openvinos", "expected"),
    [
        (10, 5, 4.3, "onnxruntime"),
        (10, 5, 4.2, "openvino"),
        (10, 5, 12, "onnxruntime"),
        (10, 12, 5, "openvino"),
        (10, 12, 11, "torch"),
        (10, 10, 10, "torch"),
    ],
)
def test_the_fastest_computes(
    monkeypatch: pytest.MonkeyPatch, torchs: float, onnxruntimes: float, openvinos: float, expected: str
) -> None:
    seconds = {"torch": torchs, "onnxruntime": onnxruntimes, "openvino": openvinos}
    timed(monkeypatch, seconds)
    made = classifier(nn.Conv2d(3, 4, 3))
    graph = chosen(made)
    told = made.model.gradient
    assert (told.runtime, made.differentiator.runtime) == (expected, expected)
    assert told.version == version_of(made.differentiator.runtime)
    if expected == "torch":
        assert graph is None
        assert made.model.digests.gradient_sha256 == ""
        assert f"takes {told.time_ratio:.2f} times as long as torch" in told.reason
        return
    assert graph is not None
    assert made.model.digests.gradient_sha256 == sha256(graph)
    assert told.time_ratio == seconds[expected] / torchs
    assert told.reason == ""
    assert 0 < told.difference < 1e-5


def test_without_openvino_onnx_runtime_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(differentiators.PACKAGES, "openvino", "a package that nobody has")
    timed(monkeypatch, {"torch": 10, "onnxruntime": 5})
    made = classifier(nn.Conv2d(3, 4, 3))
    assert chosen(made) is not None
    assert made.model.gradient.runtime == "onnxruntime"
    with pytest.raises(PackError, match="gradient: openvino is not installed, or not made for this processor"):
        chosen(classifier(nn.Conv2d(3, 4, 3)), "openvino")


@pytest.mark.parametrize(
    "pinned", ["torch", "onnxruntime", pytest.param("openvino", marks=needs_openvino)]
)  # fmt: skip
def test_pinned(monkeypatch: pytest.MonkeyPatch, pinned: Runtime) -> None:
    timed(monkeypatch, {"torch": 1, "onnxruntime": 2, "openvino": 3})
    made = classifier(nn.Conv2d(3, 4, 3))
    assert (chosen(made, pinned) is None) is (pinned == "torch")
    assert made.model.gradient.runtime == made.differentiator.runtime == pinned
    assert made.model.gradient.reason == ("the spec asks for torch" if pinned == "torch" else "")


def test_what_cannot_be_compiled() -> None:
    made = classifier(nn.ConvTranspose2d(3, 4, 3))
    assert chosen(made) is None
    assert made.model.gradient.runtime == "torch"
    assert "transposed convolution" in made.model.gradient.reason
    with pytest.raises(PackError, match=r"gradient: onnxruntime cannot be used: .*transposed convolution.*; leave"):
        chosen(classifier(nn.ConvTranspose2d(3, 4, 3)), "onnxruntime")


def test_what_is_computed_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = CompiledDifferentiator.margins

    def wrong(self: CompiledDifferentiator, *asked: Any) -> tuple[Tensor, Tensor]:
        logits, computed = right(self, *asked)
        return logits, computed + 1e-3 * (computed.max() - computed.min())

    monkeypatch.setattr(CompiledDifferentiator, "margins", wrong)
    made = classifier(nn.Conv2d(3, 4, 3))
    assert chosen(made) is None
    assert "gradients of onnxruntime differ from torch's by 0.001" in made.model.gradient.reason
