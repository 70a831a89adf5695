"""Classes with exactly the same logit: every part of an answer names the same class, and the distance is 0."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from architectures import network_of
from explaining import subject_of
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.runtimes.serving import TorchServing
from whybox_handlers.models.subject import predicted_class, ranking
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS
from whybox_handlers.work.analyzer import Analyzer

SIDE = 16
CLASSES = 10


def classifier_of(head: nn.Module) -> Classifier:
    network = Differentiable(network_of(head), [0.0] * 3, [1.0] * 3)
    labels = [f"class {index}" for index in range(CLASSES)]
    model = v1.Model(num_classes=CLASSES, labels=labels, preprocessing=v1.Preprocessing(resize=SIDE, crop=SIDE))
    return Classifier(model, network, TorchServing(network), torch.device("cpu"))


class Constant(nn.Module):
    """The tied classes have the logit 1 for every picture."""

    def __init__(self, *tied: int) -> None:
        super().__init__()
        self.tied = list(tied)

    def forward(self, pictures: Tensor) -> Tensor:
        logits = -pictures.flatten(1)[:, :CLASSES].abs() - 1
        return logits.index_fill(1, torch.tensor(self.tied), 1.0)


class Duplicates(nn.Module):
    """A linear layer in which the tied classes have the same weights, and lead."""

    def __init__(self, *tied: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3 * SIDE * SIDE, CLASSES)
        self.tied = list(tied)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.layer(pictures.flatten(1))
        return logits.index_copy(1, torch.tensor(self.tied), (logits[:, :1] + 5).expand(-1, len(self.tied)))


TIES = [(4, 7), (2, 5), (0, 9), (1, 2, 8)]
HEADS = [Constant, Duplicates]


def png() -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def answer(classifier: Classifier, **parts: Any) -> v1.AnalyzeResponse:
    request = v1.AnalyzeRequest(image=png(), **parts)
    return Analyzer(classifier).answer([v1.Work(request=request)])[0].response


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tied", TIES)
def test_all_parts_name_the_same_class(head: type[Constant] | type[Duplicates], tied: tuple[int, ...]) -> None:
    said = answer(
        classifier_of(head(*tied)),
        prediction=v1.PredictionOptions(top_k=5),
        explanations=[
            v1.ExplanationOptions(method="saliency", encodings=["float32"], channels="sum"),
            v1.ExplanationOptions(
                method="kernel_shap", baseline="black", max_evaluations=64, encodings=["regions"], channels="sum"
            ),
        ],
        robustness=v1.RobustnessOptions(norms=["linf", "l2"], attack="fmn", budget="6", corruptions=["contrast"]),
        bias=v1.BiasOptions(),
    )
    assert [score.index for score in said.prediction.classes][: len(tied)] == list(tied)
    assert [part.target_class for part in said.explanations] == [tied[0]] * 2
    assert said.explanations[1].regions.sufficient.state != "not_held"
    assert [part.segmentation for part in said.explanations] == ["", said.explanations[1].regions.segmentation]
    assert said.explanations[1].segmentation in ("slic", "grid")
    for distance in said.robustness.distances:
        assert (distance.predicted_class.index, distance.runner_up_class.index) == tied[:2]
    if head is Constant:
        [corruption] = said.robustness.corruptions
        assert {level.predicted_class.index for level in corruption.levels} == {tied[0]}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in ATTACKS for norm in ATTACKS[name].norms])
def test_a_tie_is_a_distance_of_0(head: type[Constant] | type[Duplicates], name: str, norm: str) -> None:
    said = answer(
        classifier_of(head(4, 7)),
        robustness=v1.RobustnessOptions(
            norms=[norm], attack=name, budget="6", encodings=["adversarial", "change"], transfer=True
        ),
    )
    [distance] = said.robustness.distances
    assert said.robustness.status.code == 0
    assert (distance.state, distance.distance, distance.unflipped_distance) == ("found", 0, 0)
    assert (distance.predicted_class.index, distance.adversarial_class.index) == (4, 7)
    assert distance.stopped_by == "converged"
    assert any("another class has exactly the same logit" in reason for reason in distance.reasons)
    assert not any("gradient vanished" in reason for reason in distance.reasons)
    assert not distance.reliable
    assert not distance.HasField("distance_8bit")


@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in ATTACKS for norm in ATTACKS[name].norms])
def test_a_lead_of_a_rounding_is_a_tiny_distance(name: str, norm: str) -> None:
    """Two rows of random weights, whose bias leaves the first a lead of 1e-6."""
    torch.manual_seed(1)
    weights = torch.randn(2, 3 * SIDE * SIDE, dtype=torch.float64)
    picture = 0.3 + 0.4 * torch.rand(3, SIDE, SIDE)
    lead = float((weights[0] - weights[1]) @ picture.flatten().double())

    class Head(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            logits = pictures.flatten(1).double() @ weights.T
            return (logits - torch.tensor([lead - 1e-6, 0.0], dtype=torch.float64)).float()

    classifier = classifier_of(Head())
    found = run_one(classifier, ATTACKS[name].run(Passes(Limits()), subject_of(classifier, picture), norm, 12))
    assert found.adversarial is not None
    assert found.adversarial.distance < {"linf": 1e-4, "l2": 1e-3}[norm] * (100 if name == "square" else 1)


@pytest.mark.parametrize(
    ("logits", "order"),
    [
        ([1.0, 3.0, 3.0, 2.0], [1, 2, 3, 0]),
        ([0.0, 0.0, 0.0], [0, 1, 2]),
        ([-0.0, 0.0], [0, 1]),
        ([-1e38, 1e38, 1e38], [1, 2, 0]),
    ],
)
def test_equal_logits_go_by_their_index(logits: list[float], order: list[int]) -> None:
    assert ranking(torch.tensor(logits)) == order
    assert predicted_class(torch.tensor(logits)) == order[0]
    many = torch.tensor(logits).repeat(500)
    assert ranking(many)[: many.eq(many.max()).sum()] == many.eq(many.max()).nonzero()[:, 0].tolist()
