"""Attacks past several classes, against the closed form of a linear network."""

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of
from explaining import subject_of
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.differentiators import ANY_RIVAL
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.robustness.attacks import ATTACKS, Adversarial
from whybox_handlers.robustness.merged_classes import merged

# Logits of the picture; only the first, the second and the third value of the picture change the last three.
LOGITS = (1.0, 0.95, 0.8, 0.5)


def linear() -> tuple[Classifier, Tensor]:
    """The class 0 is predicted; 0.05, 0.2 and 0.5 in one value each lead to the classes 1, 2 and 3."""
    picture = torch.full((3, 2, 2), 0.4)
    layer = nn.Linear(picture.numel(), len(LOGITS))
    with torch.no_grad():
        layer.weight.zero_()
        for index in (1, 2, 3):
            layer.weight[index, index - 1] = 1
        classifier = classifier_of(network_of(nn.Flatten(1), layer))
        # Normalisation is inside the network, so that the slope of a value is that of its channel.
        layer.weight.mul_(classifier.network.std[0].item())
        layer.bias.zero_()
        layer.bias.sub_(classifier.serve(picture[None])[0] - torch.tensor(LOGITS))
    return classifier, picture


def nearest(classifier: Classifier, picture: Tensor, others: list[int], attack: str) -> Adversarial:
    joined, subject = merged(classifier, subject_of(classifier, picture), others)
    found = run_one(joined, ATTACKS[attack].run(Passes(Limits()), subject, "l2", 60))
    assert found.adversarial is not None
    return found.adversarial


@pytest.mark.parametrize("attack", ["fmn", "ddn", "deepfool"])
@pytest.mark.parametrize(
    ("others", "answer", "distance"), [([], 1, 0.05), ([1], 2, 0.2), ([1, 2], 3, 0.5), ([2], 1, 0.05), ([0, 1], 2, 0.2)]
)
def test_the_nearest_class_that_is_not_merged(attack: str, others: list[int], answer: int, distance: float) -> None:
    classifier, picture = linear()
    adversarial = nearest(classifier, picture, others, attack)
    # The model itself gives this answer, and not only the merged one.
    assert int(classifier.serve(adversarial.picture[None])[0].argmax()) == answer
    assert adversarial.distance == pytest.approx(distance, rel=0.02)


def test_the_merged_class_has_the_largest_logit_of_its_members() -> None:
    classifier, picture = linear()
    # The class 1 is ahead of the class 0, which stands for both.
    towards = picture.clone()
    towards[0, 0, 0] += 0.3
    joined, subject = merged(classifier, subject_of(classifier, picture), [1])
    [logits] = joined.serve(towards[None])
    assert logits.tolist() == pytest.approx([1.25, min(LOGITS) - 1, 0.8, 0.5], abs=1e-5)
    # Its gradient is that of the member that leads.
    differentiator, kept, other = joined.differentiator, torch.tensor([0]), torch.tensor([ANY_RIVAL])
    of_margin, gradient = differentiator.margins(towards[None], kept, other)
    assert torch.allclose(of_margin[0], logits, atol=1e-6)
    expected = torch.zeros_like(picture)
    expected[0, 0, 0], expected[0, 0, 1] = 1, -1
    assert torch.allclose(gradient[0], expected, atol=1e-5)
    # The other member is constant.
    objective = torch.tensor([2.0, 7.0, 0.0, 0.0])
    [value], [gradient] = differentiator.objectives(towards[None], objective[None])
    assert float(value) == pytest.approx(float(logits @ objective), abs=1e-4)
    assert torch.allclose(gradient, 2 * expected.clamp(min=0), atol=1e-5)
    assert subject.predicted == 0
    assert bool(logits.isfinite().all())
