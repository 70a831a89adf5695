"""What packing spends on networks of any size."""

import threading

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_classifier, random_pictures
from whybox_handlers.models import networks
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.packing.budgets import FULL, Budget, budget_of, count_multiply_adds
from whybox_handlers.packing.checks import randomise_methods
from whybox_handlers.packing.side_by_side import one_thread, side_by_side


@pytest.mark.parametrize(
    ("multiply_adds", "pictures", "evaluations", "attacks"),
    [
        (0, (4, 2), (8, 64), (2, 10, 300, 30)),
        (385_187_552, (4, 2), (8, 64), (2, 10, 300, 30)),
        (FULL, (4, 2), (8, 64), (2, 10, 300, 30)),
        # ResNet-18, DenseNet-121, ViT-B/16, ViT-L/16.
        (1_814_073_344, (2, 1), (4, 35), (1, 10, 170, 17)),
        (2_834_161_664, (2, 1), (4, 25), (1, 10, 110, 15)),
        (16_848_500_736, (2, 1), (4, 25), (1, 10, 100, 15)),
        (59_676_000_000, (2, 1), (4, 25), (1, 10, 100, 15)),
    ],
)
def test_budgets(
    multiply_adds: int, pictures: tuple[int, int], evaluations: tuple[int, int], attacks: tuple[int, ...]
) -> None:
    assert budget_of(multiply_adds) == Budget(
        dict(zip(("gradient", "forward"), pictures, strict=True)),
        dict(zip(("gradient", "forward"), evaluations, strict=True)),
        *attacks,
    )


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Flatten(1), nn.Linear(48, 3)], 48 * 3),
        ([nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(1), nn.Linear(80, 2)], 16 * 5 * 27 + 160),
        ([nn.Flatten(1)], 0),
    ],
)
def test_multiply_adds(layers: list[nn.Module], expected: int) -> None:
    assert count_multiply_adds(classifier_of(network_of(*layers)).network, 4) == expected


def test_multiply_adds_of_attention() -> None:
    """Torch has a fused operation for whole layers of attention, which would hide their linear layers."""
    network = Differentiable(networks.build("torchvision/vit_b_32", 10), [0.5] * 3, [0.5] * 3)
    linear = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if parameter.dim() == 2 and "heads" not in name
    )
    tokens = 7 * 7
    expected = (tokens + 1) * linear + tokens * 768 * 3 * 32 * 32 + 7680
    assert expected <= count_multiply_adds(network, 224) < 1.1 * expected


def test_the_manifest_tells_what_was_reduced() -> None:
    told = {}
    for size in (FULL, 10 * FULL):
        classifier = random_classifier("torchvision/resnet18")
        for name in ("saliency", "smooth_grad", "occlusion"):
            classifier.model.methods.add(name=name)
        randomise_methods(classifier, random_pictures(4), budget_of(size), lambda _: None)
        tests = {method.name: method.randomisation_test for method in classifier.model.methods}
        told[size] = {name: (test.pictures, test.evaluations) for name, test in tests.items()}
    assert told == {
        FULL: {"saliency": (4, 1), "smooth_grad": (4, 8), "occlusion": (2, 49)},
        10 * FULL: {"saliency": (2, 1), "smooth_grad": (2, 4), "occlusion": (1, 25)},
    }


@pytest.mark.parametrize("threads", [1, 3])
def test_side_by_side(threads: int) -> None:
    together, number = threading.Barrier(threads), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:

        def call(item: int) -> tuple[int, int]:
            together.wait(timeout=60)  # breaks, and raises, unless that number of calls runs at once
            return item, torch.get_num_threads()

        assert side_by_side(call, range(6)) == [(item, 1) for item in range(6)]
        assert torch.get_num_threads() == threads
        with one_thread() as before:
            assert (before, torch.get_num_threads()) == (threads, 1)
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda item: 1 // item, [1, 0, 1])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(number)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_cores_changes_no_bit(threads: int) -> None:
    classifier, pictures = random_classifier("torchvision/resnet18"), random_pictures(3)

    def gradients(picture: Tensor) -> Tensor:
        inputs = picture[None].clone().requires_grad_()
        (found,) = torch.autograd.grad(classifier.network(inputs).max(), inputs)
        return found

    alone, number = [], torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = side_by_side(gradients, pictures)
        torch.set_num_threads(threads)
        together = side_by_side(gradients, pictures)
    finally:
        torch.set_num_threads(number)
    assert all(one.equal(other) for one, other in zip(alone, together, strict=True))
