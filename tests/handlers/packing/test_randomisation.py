"""The model-randomisation test: what fails it, what passes, and what it is made with."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_classifier, random_pictures
from whybox_handlers.explanations.explainers import (
    EXPLAINERS,
    Attribution,
    Explainer,
    Question,
)
from whybox_handlers.explanations.explainers.sampling import sample_mean
from whybox_handlers.explanations.propagation.rules import guided_gradients
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.packing.budgets import budget_of
from whybox_handlers.packing.randomisation import (
    THRESHOLD,
    DeadNetworkError,
    looked_at,
    randomisation_test,
    randomised,
)
from whybox_handlers.passes.account import Passes

FULL, FEWEST = (budget_of(size).map_evaluations for size in (1, 10**12))


def method_of(values: Callable[[Question], Tensor]) -> Explainer:
    """A method from a function of the question."""

    async def explain(_: Passes, question: Question) -> Attribution:
        return Attribution(values(question), "relative", signed=True)

    return Explainer(explain, "", "")


def always(values: Tensor) -> Explainer:
    """A method with one map for all pictures."""
    return method_of(lambda _: values)


async def guided(passes: Passes, question: Question) -> Attribution:
    _, gradients = await passes.gradients(question.picture[None], question.objective, guided_gradients)
    return Attribution(gradients[0], "relative", signed=True)


@pytest.fixture(scope="module")
def views(classifier: Classifier, pictures: dict[Path, int]) -> Tensor:
    return torch.stack([classifier.see(path.read_bytes())[0] for path in list(pictures)[:4]])


@pytest.fixture(scope="module")
def trained(classifier: Classifier, views: Tensor) -> list[Case]:
    return looked_at(classifier, views[:2])


@pytest.fixture(scope="module")
def random(classifier: Classifier, views: Tensor) -> list[Case]:
    return looked_at(randomised(classifier, views), views[:2])


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        # Known to show edges rather than what the network has learnt: Adebayo et al.; Nie et al., 2018.
        (Explainer(guided, "", ""), False),
        (EXPLAINERS["guided_grad_cam"], False),
        (EXPLAINERS["saliency"], True),
        (EXPLAINERS["grad_cam"], True),
        (EXPLAINERS["integrated_gradients"], True),
        # Not of the network at all.
        (method_of(lambda question: question.picture), False),
        (method_of(lambda _: torch.rand(7, 7)), True),
    ],
    ids=["guided", "guided_grad_cam", "saliency", "grad_cam", "integrated_gradients", "picture", "noise"],
)
def test_of_a_real_network(row: Explainer, passes: bool, trained: list[Case], random: list[Case]) -> None:
    torch.manual_seed(0)
    outcome = randomisation_test(row, trained, random, FULL["gradient"])
    assert outcome is not None
    assert outcome.passed == passes == (outcome.similarity < THRESHOLD)
    assert outcome.threshold == THRESHOLD
    assert 1 <= outcome.pictures <= 2
    assert 0 <= outcome.similarity <= 1


async def guided_smooth_grad(passes: Passes, question: Question) -> Attribution:
    """Samples, and shows edges nevertheless."""

    async def draw(count: int) -> Tensor:
        noise = 0.1 * torch.randn((count, *question.picture.shape), generator=question.generator())
        _, gradients = await passes.gradients(question.picture + noise, question.objective, guided_gradients)
        return gradients

    mean = await sample_mean(passes, 0.0, draw)
    return Attribution(mean.values, "relative", signed=True)


def test_edges_fail_with_the_fewest_samples(trained: list[Case], random: list[Case]) -> None:
    row = Explainer(guided_smooth_grad, "", "", default_evaluations=32, min_evaluations=4)
    outcome = randomisation_test(row, trained, random, FEWEST["gradient"])
    assert outcome is not None
    assert not outcome.passed
    assert outcome.evaluations == FEWEST["gradient"]


@pytest.mark.parametrize("budget", [FULL, FEWEST], ids=["full", "fewest"])
@pytest.mark.parametrize(
    "name",
    ["saliency", "deep_lift", "integrated_gradients", "gradient_shap", "smooth_grad", "occlusion", "kernel_shap"],
)
def test_no_budget_lets_a_method_pass_that_ignores_the_weights(name: str, budget: Mapping[str, int]) -> None:
    """A network that is compared with itself stands for such a method."""
    row, cases = EXPLAINERS[name], looked_at(random_classifier("torchvision/resnet18"), random_pictures(1))
    outcome = randomisation_test(row, cases, cases, budget[row.evaluations])
    assert outcome is not None
    assert (outcome.passed, outcome.pictures) == (False, 1)
    assert outcome.similarity > 1 - 1e-9
    at_most = {"kernel_shap": 1000, "saliency": 1, "deep_lift": 1}
    assert outcome.evaluations <= at_most.get(name, budget[row.evaluations])


def test_maps_that_say_too_little_are_not_counted(trained: list[Case], random: list[Case]) -> None:
    for coarse in (torch.zeros(7, 7), torch.arange(9.0).view(3, 3)):
        assert randomisation_test(always(coarse), trained, random, FULL["gradient"]) is None


def test_a_method_that_fails_says_so(trained: list[Case], random: list[Case]) -> None:
    def fail(_: Question) -> Tensor:
        raise RuntimeError("this method is broken")

    with pytest.raises(RuntimeError, match="this method is broken"):
        randomisation_test(method_of(fail), trained, random, FULL["gradient"])


@pytest.mark.parametrize(
    "architecture", ["torchvision/resnet18", "torchvision/convnext_tiny", "torchvision/mobilenet_v3_small"]
)
def test_the_last_quarter_is_random_and_alive(architecture: str) -> None:
    trained, pictures = random_classifier(architecture), random_pictures(4)
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    random = randomised(trained, pictures)
    for name, value in trained.network.state_dict().items():
        assert value.equal(before[name])
    parameters = list(random.network.named_parameters())
    changed = [name for name, value in parameters if not value.equal(before[name])]
    # They are the last ones.
    unchanged = len(parameters) - len(changed)
    assert 0.5 < unchanged / len(parameters) < 0.9
    assert len(set(random.serve(pictures).argmax(dim=1).tolist())) > 1 or random.serve(pictures).std(dim=0).min() > 0
    assert not any(parameter.requires_grad for _, parameter in parameters)
    assert not any(module.training for module in random.network.modules())
    again, other = randomised(trained, pictures), randomised(trained, pictures, seed=1)
    assert again.serve(pictures).equal(random.serve(pictures))
    assert not other.serve(pictures).equal(random.serve(pictures))


class _Deaf(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return torch.ones_like(pictures)


def test_a_dead_network_is_noticed() -> None:
    classifier = classifier_of(network_of(_Deaf(), nn.Flatten(1), nn.Linear(3 * 16, 5)))
    with pytest.raises(DeadNetworkError, match="gives every picture the same answer"):
        randomised(classifier, torch.rand(3, 3, 4, 4))
