"""No number that is not finite leaves: all fields of all parts, for networks whose logits are extreme or break off."""

import math
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from google.protobuf.message import Message
from google.rpc import code_pb2
from PIL import Image
from torch import Tensor, nn

from architectures import network_of
from whybox import v1
from whybox.v1.vocabulary import MEASUREMENTS
from whybox_handlers.explanations.explainers import EXPLAINERS
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.work.analyzer import Analyzer

SIDE = 16
CLASSES = 4

NETWORKS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # From four logits and the mean brightness of each picture.
    "divides by the brightness": lambda logits, brightness: logits / brightness,
    "infinite for dark pictures": lambda logits, brightness: torch.where(brightness < 0.2, math.inf, logits),
    "no number for dark pictures": lambda logits, brightness: torch.where(brightness < 0.2, math.nan, logits),
    "without one class for dark pictures": lambda logits, brightness: torch.where(
        brightness < 0.45, logits - torch.tensor([0, 0, 0, math.inf]), logits
    ),
    "logits of 1e38": lambda logits, _: logits * 1e38,
    "logits of 1e30": lambda logits, _: logits * 1e30,
    "logits of 1e-30": lambda logits, _: logits * 1e-30,
    "logits of 1e-44": lambda logits, _: logits * 1e-44,
    "the same logit for all": lambda logits, _: logits * 0 + 1,
    "logits of 0": lambda logits, _: logits * 0,
    "no bias": lambda logits, _: logits,
}


class Head(nn.Module):
    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, pictures: Tensor) -> Tensor:
        logits = pictures.mean(dim=(2, 3)).repeat(1, 2)[:, :CLASSES] * torch.tensor([1.0, 2.0, 3.0, -1.0])
        return self.change(logits, pictures.mean(dim=(1, 2, 3))[:, None])


def convolutional(bias: bool) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, bias=bias), nn.ReLU())
    return features, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(8, CLASSES, bias=bias))


def analyzer(head: nn.Module, features: nn.Module | None = None) -> Analyzer:
    network = Differentiable(network_of(head, features=features), [0.0] * 3, [1.0] * 3)
    preprocessing = v1.Preprocessing(resize=SIDE, crop=SIDE)
    model = v1.Model(num_classes=CLASSES, labels=["a", "b", "c", "d"], preprocessing=preprocessing)
    return Analyzer(Classifier(model, network, TorchServing(network), torch.device("cpu")))


def png(levels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


PICTURES = {
    "black": png(np.zeros((SIDE, SIDE, 3))),
    "white": png(np.full((SIDE, SIDE, 3), 255)),
    "noise": png(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))),
}


def everything(image: bytes, *, maps: bool) -> v1.AnalyzeRequest:
    explanations = []
    for name, row in EXPLAINERS.items():
        if row.needs_maps and not maps:
            continue
        few = {"max_evaluations": row.min_evaluations} if row.default_evaluations else {}
        options = {
            "encodings": ["float32", "heat_map", "overlay", "regions"],
            "quality": MEASUREMENTS,
            "target_class": 1,
        }
        explanations += [row.defaults(name, **options, **few), row.defaults(name, **options, **few, contrast_class=3)]
    explanations += [EXPLAINERS["saliency"].defaults("saliency", encodings=[dtype]) for dtype in ("uint8", "float16")]
    return v1.AnalyzeRequest(
        image=image,
        prediction=v1.PredictionOptions(top_k=CLASSES),
        explanations=explanations,
        robustness=v1.RobustnessOptions(
            norms=["linf", "l2"],
            attack="fmn",
            budget="6",
            corruptions=["contrast", "fog", "brightness"],
            encodings=["adversarial", "change"],
        ),
        certified=v1.CertifiedOptions(sigma=0.5, samples=20, alpha=0.01),
        bias=v1.BiasOptions(),
    )


def not_finite(message: Message, path: str = "") -> Iterator[str]:
    """Paths of the numbers in a message that are not finite."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else [value]:
            if isinstance(each, Message):
                yield from not_finite(each, f"{path}.{field.name}")
            elif isinstance(each, float) and not math.isfinite(each):
                yield f"{path}.{field.name}"
    if isinstance(message, v1.Tensor) and message.dtype.startswith("float"):
        plain = zlib.decompress(message.data) if message.compression else message.data
        if not np.isfinite(np.frombuffer(plain, message.dtype)).all():
            yield path


def check(answering: Analyzer, request: v1.AnalyzeRequest) -> v1.WorkResult:
    twin = EXPLAINERS["integrated_gradients"].defaults("integrated_gradients", max_evaluations=8)
    [result] = answering.answer([v1.Work(request=request, twin=twin)])
    assert list(not_finite(result)) == []
    response = result.response
    statuses = [result.status, response.robustness.status, response.certified.status]
    for status in [*statuses, *(part.status for part in response.explanations)]:
        assert status.code in (code_pb2.OK, code_pb2.FAILED_PRECONDITION, code_pb2.INVALID_ARGUMENT), status
    return result


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_of_an_answer_is_finite(name: str, picture: str) -> None:
    check(analyzer(Head(NETWORKS[name])), everything(PICTURES[picture], maps=False))


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("bias", [True, False])
def test_networks_with_feature_maps(bias: bool, picture: str) -> None:
    features, head = convolutional(bias)
    result = check(analyzer(head, features), everything(PICTURES[picture], maps=True))
    for part in result.response.explanations:
        assert part.status.code == code_pb2.OK
        if part.HasField("convergence_delta") and part.method in ("deep_lift", "kernel_shap"):
            assert abs(part.convergence_delta) < 1e-4


@pytest.mark.parametrize(("attack", "norm"), [(name, norm) for name in ATTACKS for norm in ATTACKS[name].norms])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_attack(name: str, attack: str, norm: str) -> None:
    robustness = v1.RobustnessOptions(norms=[norm], attack=attack, budget="6", encodings=["adversarial", "change"])
    for picture in PICTURES.values():
        check(analyzer(Head(NETWORKS[name])), v1.AnalyzeRequest(image=picture, robustness=robustness))


def test_a_map_that_cannot_be_made_says_why() -> None:
    request = everything(PICTURES["white"], maps=False)
    result = check(analyzer(Head(NETWORKS["infinite for dark pictures"])), request)
    failed = [part for part in result.response.explanations if part.status.code == code_pb2.FAILED_PRECONDITION]
    assert any(part.method == "integrated_gradients" for part in failed)
    assert any("is not finite" in part.status.message for part in failed)
    reasons = [reason for part in result.response.explanations for reason in part.quality.reasons]
    assert all("nan" not in reason and "inf " not in reason for reason in reasons)
