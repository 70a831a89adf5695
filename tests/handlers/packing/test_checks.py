"""The comparison of ONNX Runtime with torch, and of maps with Captum's: what passes, and what is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from architectures import CLASSES, classifier_of, network_of, random_classifier, random_pictures
from whybox import v1
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.models.spec import SpecError
from whybox_handlers.packing.budgets import budget_of
from whybox_handlers.packing.checks import compare_logits, compare_maps, randomise_methods
from whybox_handlers.packing.onnx_export import export
from whybox_handlers.packing.peers import map_difference
from whybox_handlers.packing.refusals import PackError, refuse_constant, refuse_crop, refuse_probabilities, refuse_size

VIEWS = {f"{index}.png": view for index, view in enumerate(random_pictures(3, 16))}


class Fixed(nn.Module):
    """The same logits for each picture."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.get_buffer("logits").expand(len(pictures), -1)


class Rows(nn.Module):
    """The first row of logits for a black picture, the second for a white one."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.get_buffer("logits")[(inputs[:, 0] > 0).long()]


class Spoilt:
    """Serves what torch computes, changed."""

    provider = "spoilt"
    local = None

    def __init__(self, network: Differentiable, change: Callable[[Tensor], Tensor]) -> None:
        self._network, self._change = network, change

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        logits, *maps = self._network.stages(pictures)
        return (self._change(logits), *maps)


def compared(logits: list[float], change: Callable[[Tensor], Tensor]) -> v1.PackingCheck:
    plain = classifier_of(network_of(Fixed(logits)))
    classifier = Classifier(plain.model, plain.network, Spoilt(plain.network, change), plain.device)
    compare_logits(classifier, VIEWS, lambda _: None)
    return classifier.model.packing_check


def swap(first: int, second: int) -> Callable[[Tensor], Tensor]:
    def change(logits: Tensor) -> Tensor:
        order = list(range(logits.shape[1]))
        order[first], order[second] = second, first
        return logits[:, order]

    return change


@pytest.mark.parametrize(
    ("logits", "change"),
    [
        ([1.0, -1.0], lambda logits: logits),
        ([1.0, 2.0, 3.0], lambda logits: logits),
        ([4.0, 3.0, 2.0, 1.0], lambda logits: logits),
        # The bound is relative: 0.0014 of 100 is rounding.
        ([100.0, -50.0, 3.0], lambda logits: logits + 0.0014),
        ([1e-6, 2e-6], lambda logits: logits),
        # Rounding decides between classes that are nearly tied.
        ([5.0, 5.0 + 5e-7], swap(0, 1)),
        ([1.0, 1.0 + 1.2e-7, 0.0], swap(0, 1)),
        ([3.0, 3.0], swap(0, 1)),
    ],
)
def test_networks_that_agree(logits: list[float], change: Callable[[Tensor], Tensor]) -> None:
    assert compared(logits, change).pictures == 3


@pytest.mark.parametrize(
    ("logits", "change", "words"),
    [
        (
            [1.0, -1.0],
            lambda logits: logits + 2e-4,
            r"0\.png: a logit differs by 0\.0002 .*\(at most 0\.0001, 0\.0001 of",
        ),
        ([100.0, -1.0], lambda logits: logits + 0.02, r"a logit differs by 0\.02 .*\(at most 0\.01, "),
        ([1e-3, -1e-3], lambda logits: logits + 1e-6, r"a logit differs by 1e-06"),
        ([1.0, -1.0], lambda logits: logits * torch.nan, "a logit differs by nan"),
        ([1.0, torch.nan], lambda logits: logits, "the network's output is not finite; check the weights"),
        ([1.0, torch.inf], lambda logits: logits, "the network's output is not finite"),
        # Closer than the tolerance of logits, but not tied.
        ([10.0, 10.0 + 1e-4], swap(0, 1), "the 2 most probable classes differ"),
        ([10.0, 10.0 + 1e-4, 0.0], swap(0, 1), "the 3 most probable classes differ"),
        ([1.0, 2.0, 3.0, 4.0, 10.0 - 1e-4, 10.0], swap(4, 5), "the 5 most probable classes differ"),
    ],
)
def test_networks_that_disagree(logits: list[float], change: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(PackError, match=words):
        compared(logits, change)


def test_small_logits_of_one_picture_are_compared_with_the_size_of_all() -> None:
    """A picture near the boundary of two classes has small logits that are rounded like the others'."""

    class Steep(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            level = 100 * (pictures.mean(dim=(1, 2, 3)) - 0.5)
            return torch.stack([level, -level], dim=1)

    plain = classifier_of(network_of(nn.Identity(), Steep()))
    serving = Spoilt(plain.network, lambda logits: logits + 1e-5)
    classifier = Classifier(plain.model, plain.network, serving, plain.device)
    boundary = torch.tensor([0.625, 0.5, 0.6]).view(3, 1, 1).expand(3, 4, 4)
    assert float(classifier.serve(boundary[None]).abs().max()) < 1e-3
    views = {"boundary.png": boundary, "white.png": torch.ones(3, 4, 4)}
    compare_logits(classifier, views, lambda _: None)


def test_maps_of_a_single_cell() -> None:
    """Such a map has one value, so no range of its own."""
    classifier = random_classifier("torchvision/resnet18")
    view = random_pictures(1, 32)[0]
    assert classifier.look(view[None]).row(0).maps is not None
    classifier.model.methods.add(name="grad_cam")
    compare_maps(classifier, view, lambda _: None)
    assert classifier.model.packing_check.max_map_difference < 1e-3
    # The map of one of the classes is positive, and a map of ours that misses it differs by all of it.
    differences = {
        map_difference("grad_cam", classifier.network, view, target, torch.zeros(1, 1)) for target in range(CLASSES)
    }
    assert differences == {0.0, 1.0}


@pytest.mark.parametrize(
    ("layers", "refused"),
    [
        ([], False),
        ([nn.Sigmoid()], True),
        ([nn.Hardsigmoid()], True),
        ([nn.Softmax(dim=1)], True),
        ([nn.Sigmoid(), nn.Flatten(1)], True),
        ([nn.Sigmoid(), nn.Unflatten(1, (3, 1)), nn.Flatten(1)], True),
        # The softmax of these is what softmax makes of the logits.
        ([nn.LogSoftmax(dim=1)], False),
        # A sigmoid inside is no sigmoid at the end.
        ([nn.Sigmoid(), nn.Linear(3, 3)], False),
        ([nn.SiLU()], False),
    ],
)
def test_a_network_that_ends_in_probabilities_is_refused(layers: list[nn.Module], refused: bool) -> None:
    network = network_of(nn.Flatten(1), nn.Linear(48, 3), *layers)
    exported = export(classifier_of(network).network, 4)
    if not refused:
        refuse_probabilities(exported)
        return
    with pytest.raises(
        PackError, match=r"the network ends in (Hard)?(Sigmoid|Softmax), and `head: softmax` needs logits"
    ):
        refuse_probabilities(exported)


def test_a_network_that_no_onnx_file_holds_is_refused() -> None:
    with torch.device("meta"):
        small = Differentiable(network_of(nn.Linear(1024, 1024)), [0.5] * 3, [0.5] * 3)
        layers = [nn.Linear(16384, 16384, bias=False) for _ in range(2)]
        large = Differentiable(network_of(*layers), [0.5] * 3, [0.5] * 3)
    refuse_size(small)
    with pytest.raises(SpecError, match=r"architecture: the weights take 2\.0 GiB, and an ONNX file holds less than 2"):
        refuse_size(large)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Flatten(1), nn.Linear(48, 3)], None),
        ([nn.Flatten(1), nn.Linear(27, 3)], r"preprocessing\.crop: the network cannot take 4 x 4 pixels \(.*\); use"),
        ([nn.Conv2d(3, 3, 7), nn.Flatten(1)], r"preprocessing\.crop: the network cannot take 4 x 4 pixels"),
        ([nn.Flatten(1), nn.Linear(48, 2)], r"output has shape \[1, 2\] in place of \[1, 3\]; give it one output per"),
        ([nn.Identity()], r"output has shape \[1, 3, 4, 4\] in place of \[1, 3\]"),
    ],
)
def test_a_crop_that_the_network_cannot_take(layers: list[nn.Module], words: str | None) -> None:
    network = classifier_of(network_of(*layers)).network
    if words is None:
        refuse_crop(network, 4, 3)
        return
    with pytest.raises(SpecError, match=words) as raised:
        refuse_crop(network, 4, 3)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], None),
        ([[0.0, 0.0], [2.0, 1.0]], None),
        ([[0.0, 0.0], [0.0, 0.0]], "every check picture the same answer"),
        ([[1.0, 2.0], [1.0, 2.0]], "every check picture the same answer"),
        ([[1.0, 1.0], [2.0, 2.0]], "all classes the same logit"),
    ],
)
def test_a_network_that_says_nothing(logits: list[list[float]], words: str | None) -> None:
    network = classifier_of(network_of(nn.Flatten(1), Rows(logits))).network
    views = [torch.full((3, 1, 1), float(index)) for index in range(len(logits))]
    if words is None:
        refuse_constant(network, views)
        return
    with pytest.raises(PackError, match=f"weights: the network gives {words}; check that it was trained"):
        refuse_constant(network, views)


def test_pictures_that_a_random_network_cannot_tell_apart() -> None:
    view = random_pictures(1, 32)
    with pytest.raises(
        PackError, match=r"^check_pictures\.files: with random weights .*; add pictures that differ more"
    ):
        randomise_methods(
            random_classifier("torchvision/resnet18"), torch.cat([view, view]), budget_of(1), lambda _: None
        )
