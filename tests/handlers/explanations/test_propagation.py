"""Rules of propagation against closed forms, Captum where it is right, and their own axioms."""

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from captum.attr import DeepLift, GuidedBackprop
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.functional import resize

from architectures import (
    CLASSES,
    CONVOLUTIONAL,
    classifier_of,
    network_of,
    random_classifier,
    random_pictures,
    side_of,
)
from explaining import question_of
from whybox.v1.errors import FailedPreconditionError
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution
from whybox_handlers.explanations.propagation.rules import guided_gradients, rescaled_multipliers
from whybox_handlers.models import networks
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.spec import load_spec
from whybox_handlers.models.weights import read_weights
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.computations import differentiate
from whybox_handlers.passes.scheduler import run_one
from whybox_handlers.pictures import decoding

TARGET = 1


@pytest.fixture(scope="module")
def lite0(spec_path: Path) -> Classifier:
    """EfficientNet-Lite0 with its real weights."""
    spec = load_spec(spec_path)
    network = networks.build(spec.architecture, 1000)
    network.load(read_weights(spec.weights.path()))
    return classifier_of(network)


@pytest.fixture(scope="module")
def real(pictures: dict[Path, int]) -> Tensor:
    """Two real pictures, [2, 3, 224, 224]."""
    views = [decoding.decode(path.read_bytes()).float() / 255 for path in list(pictures)[:2]]
    return torch.stack([resize(view, [224, 224]) for view in views])


def one_hot(number: int, classes: int = CLASSES) -> Tensor:
    return functional.one_hot(torch.full((number,), TARGET), classes).float()


def multipliers(classifier: Classifier, views: Tensor, baselines: Tensor, classes: int = CLASSES) -> Tensor:
    return rescaled_multipliers(classifier, views, baselines, one_hot(len(views), classes))[2]


def explained(
    classifier: Classifier, method: str, view: Tensor, *baselines: Tensor, target: int = TARGET
) -> Attribution:
    question = replace(question_of(classifier, view, target), baselines=baselines)
    return run_one(classifier, EXPLAINERS[method].explain(Passes(Limits()), question))


# --- DeepLIFT: completeness, on whole architectures


def assert_complete(classifier: Classifier, views: Tensor, classes: int) -> None:
    for grey in (0.0, 0.5):
        baselines = torch.full_like(views, grey)
        values, baseline_values, found = rescaled_multipliers(
            classifier, views, baselines, one_hot(len(views), classes)
        )
        with torch.no_grad():
            torch.testing.assert_close(values, classifier.network(views)[:, TARGET], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(baseline_values, classifier.network(baselines)[:, TARGET], rtol=1e-4, atol=1e-4)
        parts = (found * (views - baselines)).double()
        missed = (parts.sum(dim=(1, 2, 3)) - (values - baseline_values)).abs()
        # Parts of both signs cancel; each is rounded, and so are the logits.
        size = parts.abs().sum(dim=(1, 2, 3)) + values.abs() + baseline_values.abs()
        assert (missed / size).max() < 1e-6


@pytest.mark.parametrize("architecture", CONVOLUTIONAL)
def test_differences_add_up(architecture: str) -> None:
    assert_complete(random_classifier(architecture), random_pictures(2, side_of(architecture)), CLASSES)


def test_differences_add_up_with_real_weights(lite0: Classifier, real: Tensor) -> None:
    assert_complete(lite0, real, 1000)


def test_deep_lift_tells_its_baseline_and_averages_over_several(lite0: Classifier, real: Tensor) -> None:
    black, grey = torch.zeros_like(real[0]), torch.full_like(real[0], 0.5)
    alone = [explained(lite0, "deep_lift", real[0], baseline) for baseline in (black, grey)]
    both = explained(lite0, "deep_lift", real[0], black, grey)
    torch.testing.assert_close(both.values, (alone[0].values + alone[1].values) / 2, rtol=1e-4, atol=1e-6)
    value = float(lite0.serve(real[:1])[0, TARGET])
    for found in (*alone, both):
        assert found.complete
        assert found.signed
        assert found.baseline_value is not None
        assert float(found.values.double().sum()) == pytest.approx(value - found.baseline_value, rel=1e-4)


# --- DeepLIFT: closed forms

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardtanh": lambda z: functional.hardtanh(z, 0.0, 6.0),
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "silu": functional.silu,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "gelu": functional.gelu,
    "gelu, by tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "mish": functional.mish,
    "softplus": functional.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": Tensor.tanh,
    "clamp": lambda z: z.clamp(-1, 2),
    "square": lambda z: z**2,
    "reciprocal": lambda z: 1 / (z**2 + 1),
}


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_hidden_layer(name: str) -> None:
    torch.manual_seed(0)
    activation = ACTIVATIONS[name]
    first, last = nn.Linear(3 * 4 * 4, 20), nn.Linear(20, CLASSES)
    nn.init.normal_(first.weight, std=2)
    classifier = classifier_of(network_of(nn.Flatten(), first, Apply(activation), last))
    views, baselines = torch.rand(2, 2, 3, 4, 4)
    baselines[1] = views[1]  # no difference anywhere: the gradient
    found = multipliers(classifier, views, baselines)

    inputs = [(each - classifier.network.mean) / classifier.network.std for each in (views, baselines)]
    z, z0 = (each.flatten(1).double() @ first.weight.double().T + first.bias.double() for each in inputs)
    (slopes,) = torch.autograd.grad(activation(z.requires_grad_()).sum(), z)
    slopes[0] = ((activation(z) - activation(z0)) / (z - z0)).detach()[0]
    expected = torch.einsum("j,nj,ji->ni", last.weight[TARGET].double(), slopes, first.weight.double())
    expected = expected.view(views.shape) / classifier.network.std
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_a_linear_network_has_its_weights_for_multipliers() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3 * 4 * 4, CLASSES)
    layers = (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.AvgPool2d(2), nn.Upsample(scale_factor=2))
    classifier = classifier_of(network_of(*layers, nn.Dropout(), nn.Flatten(), linear))
    views = torch.rand(2, 3, 4, 4)
    expected = differentiate(classifier, views.clone(), one_hot(2))[1]
    assert torch.equal(multipliers(classifier, views, torch.rand(2, 3, 4, 4)), expected)


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "operator": lambda a, b: a * b,
    "in place": Tensor.mul_,
    "quotient by the inverse": lambda a, b: a / (1 / b),
    "matrices": lambda a, b: (a[:, :, None] @ b[:, None, :]).flatten(1)[:, :: CLASSES + 1],
}


class Product(nn.Module):
    """Of two linear functions."""

    def __init__(self, multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.multiply = nn.Linear(48, CLASSES), nn.Linear(48, CLASSES), multiply

    def forward(self, z: Tensor) -> Tensor:
        return self.multiply(self.a(z), self.b(z))


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_activations_are_shared_by_means(name: str) -> None:
    torch.manual_seed(0)
    product = Product(PRODUCTS[name])
    classifier = classifier_of(network_of(nn.Flatten(), product))
    view, baseline = torch.rand(2, 1, 3, 4, 4)
    middle = (((view + baseline) / 2 - classifier.network.mean) / classifier.network.std).flatten(1)
    a, b = product.a(middle)[0, TARGET], product.b(middle)[0, TARGET]
    expected = (product.a.weight[TARGET] * b + product.b.weight[TARGET] * a).view(3, 4, 4) / classifier.network.std
    torch.testing.assert_close(multipliers(classifier, view, baseline)[0], expected, rtol=1e-3, atol=1e-4)


# --- DeepLIFT: the peer, where it is right


def plain_network() -> networks.Network:
    torch.manual_seed(0)
    convolutions = (nn.Conv2d(3, 6, 3), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3))
    return network_of(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, CLASSES))


@pytest.fixture
def _captum_may_warn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.usefixtures("_captum_may_warn")
def test_deep_lift_equals_captum() -> None:
    classifier = classifier_of(plain_network())
    views, baselines = torch.rand(2, 4, 3, 10, 10)
    ours = multipliers(classifier, views, baselines) * (views - baselines)
    theirs = DeepLift(classifier.network).attribute(views, baselines, target=TARGET)
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("_captum_may_warn")
@pytest.mark.parametrize(
    "activation",
    [nn.ReLU6(), Apply(torch.relu), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2))],
    ids=["ReLU6", "function", "max pooling next to ReLU"],
)
def test_captum_does_not_add_up_where_deep_lift_does(activation: nn.Module) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3), activation, nn.Flatten(), nn.Linear(6 * 64, CLASSES))
    classifier = classifier_of(network_of(*layers))
    views, baselines = 10 * torch.rand(2, 4, 3, 10, 10)
    _, delta = DeepLift(classifier.network).attribute(views, baselines, target=TARGET, return_convergence_delta=True)
    assert float(delta.abs().min()) > 1e-2
    values, baseline_values, found = rescaled_multipliers(classifier, views, baselines, one_hot(4))
    ours = (found * (views - baselines)).sum(dim=(1, 2, 3)) - (values - baseline_values)
    assert float(ours.abs().max()) < 1e-4


def test_max_pooling_with_overlapping_windows_adds_up() -> None:
    torch.manual_seed(0)
    classifier = classifier_of(network_of(nn.MaxPool2d(3, 2, padding=1), nn.Flatten(), nn.Linear(3 * 25, CLASSES)))
    views, baselines = torch.rand(2, 4, 3, 10, 10)
    values, baseline_values, found = rescaled_multipliers(classifier, views, baselines, one_hot(4))
    changes = (found * (views - baselines)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(changes, values - baseline_values, rtol=1e-4, atol=1e-5)


# --- One network, written in several ways


class Written(nn.Module):
    """conv, ReLU, conv, + shortcut, ReLU, written with other activations."""

    def __init__(
        self, first: nn.Module, second: nn.Module, add: Callable[[Tensor, Tensor], Tensor] = torch.add
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolutions = nn.ModuleList([nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 1, 1)])
        self.head = nn.Linear(64, CLASSES)
        self.first, self.second, self.add = first, second, add

    def forward(self, inputs: Tensor) -> Tensor:
        z = self.first(self.convolutions[0](inputs))
        z = self.second(self.add(self.convolutions[1](z), z))
        logits: Tensor = self.head(self.convolutions[2](z).flatten(1))
        return logits


def _relu_by_statement(z: Tensor) -> Tensor:
    torch.relu_(z)
    return z


SHARED = nn.ReLU()
WRITTEN: dict[str, Callable[[], nn.Module]] = {
    "one module, used twice": lambda: Written(SHARED, SHARED),
    "in place": lambda: Written(nn.ReLU(inplace=True), nn.ReLU(inplace=True), Tensor.add_),
    "in place, by statements": lambda: Written(Apply(_relu_by_statement), Apply(_relu_by_statement), Tensor.__iadd__),
    "functions": lambda: Written(Apply(functional.relu), Apply(torch.relu), lambda a, b: a + b),
    "methods": lambda: Written(Apply(Tensor.relu), Apply(Tensor.relu_), Tensor.add),
    "by name": lambda: Written(
        Apply(lambda z: functional.relu(input=z, inplace=True)), Apply(lambda z: torch.relu(input=z))
    ),
    "aten": lambda: Written(Apply(lambda z: z.clamp_min(0)), Apply(lambda z: z.clamp(min=0))),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_it_does_not_matter_how_a_network_is_written(name: str) -> None:
    plain = classifier_of(network_of(Written(nn.ReLU(), nn.ReLU())))
    other = classifier_of(network_of(WRITTEN[name]()))
    views, baselines = torch.rand(2, 2, 3, 10, 10)
    expected = multipliers(plain, views, baselines)
    torch.testing.assert_close(multipliers(other, views, baselines), expected, rtol=0, atol=1e-6)
    if name != "aten":  # guided backpropagation knows rectifiers by their names
        expected = guided_gradients(plain, views, one_hot(2))[1]
        torch.testing.assert_close(guided_gradients(other, views, one_hot(2))[1], expected, rtol=0, atol=1e-6)


# --- What no rule is known for


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: torch.autograd.function.FunctionCtx, z: Tensor) -> Tensor:
        return z.relu()

    @staticmethod
    def backward(_ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


def _without_gradients(z: Tensor) -> Tensor:
    with torch.no_grad():
        gate = z.mean()
    return z * gate


UNKNOWN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "softmax": (lambda z: functional.softmax(z, dim=1), "softmax"),
    "largest": (lambda z: z.amax(dim=1, keepdim=True) + z, "amax"),
    "detached": (lambda z: z * z.detach(), "detach"),
    "comparison": (lambda z: z * (z > 0), "gt"),
    "value": (lambda z: z * float(z.sum()), "__float__"),
    "rounding": (lambda z: torch.div(z, 2, rounding_mode="floor"), "div"),
    "training": (lambda z: functional.dropout(z, 0.5), "dropout"),
    "written into": (lambda z: z.masked_fill(torch.ones(1, dtype=torch.bool), 0), "masked_fill"),
    "index": (lambda z: z[:, z.argmax(dim=1)], "argmax"),
    "own function": (OwnFunction.apply, "relu"),
    "no_grad": (_without_gradients, "mean"),
    "operator": (torch.ops.aten.relu, "aten.relu"),
    "power": (lambda z: z**z, "pow"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_operations_are_refused_by_name(name: str) -> None:
    function, says = UNKNOWN[name]
    classifier = classifier_of(network_of(nn.Flatten(), nn.Linear(48, CLASSES), Apply(function)))
    with pytest.raises(FailedPreconditionError, match=rf"{says}.*use integrated_gradients"):
        multipliers(classifier, torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_operations_that_hide_are_found_by_what_is_missing() -> None:
    torch.manual_seed(0)
    hidden = torch.jit.trace(nn.ReLU(), torch.rand(1, 20))
    classifier = classifier_of(network_of(nn.Flatten(), nn.Linear(48, 20), hidden, nn.Linear(20, CLASSES)))
    view = torch.rand(3, 4, 4)
    with pytest.raises(FailedPreconditionError, match=r"hides.*use integrated_gradients"):
        explained(classifier, "deep_lift", view, torch.zeros_like(view))


# --- Guided backpropagation


@pytest.mark.usefixtures("_captum_may_warn")
def test_guided_gradients_equal_captum() -> None:
    classifier = classifier_of(plain_network())
    views = torch.rand(3, 3, 10, 10)
    theirs = GuidedBackprop(classifier.network).attribute(views.clone(), target=TARGET)
    values, ours = guided_gradients(classifier, views, one_hot(3))
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-8)
    assert not torch.equal(ours, differentiate(classifier, views.clone(), one_hot(3))[1])
    torch.testing.assert_close(values, classifier.serve(views)[:, TARGET])


@pytest.mark.parametrize("name", ["relu6", "hardtanh", "leaky_relu", "elu", "silu", "hardswish", "gelu", "mish"])
def test_guided_gradients_of_one_hidden_layer(name: str) -> None:
    torch.manual_seed(0)
    activation = ACTIVATIONS[name]
    first, last = nn.Linear(48, 20), nn.Linear(20, CLASSES)
    nn.init.normal_(first.weight, std=1)
    classifier = classifier_of(network_of(nn.Flatten(), first, Apply(activation), last))
    view = torch.rand(1, 3, 4, 4)
    z = first(((view - classifier.network.mean) / classifier.network.std).flatten(1)).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(activation(z).sum(), z)
    expected = (last.weight[TARGET].clamp(min=0) * slopes[0]) @ first.weight
    found = guided_gradients(classifier, view, one_hot(1))[1][0]
    torch.testing.assert_close(found, expected.view(3, 4, 4) / classifier.network.std, rtol=1e-4, atol=1e-5)


# --- No trace


class Fails(nn.Module):
    """Fails on demand."""

    failing = False

    def forward(self, z: Tensor) -> Tensor:
        if self.failing:
            raise RuntimeError("on demand")
        return z


def test_rules_leave_no_trace() -> None:
    fails = Fails()
    classifier = classifier_of(network_of(plain_network().head, fails))
    views, baselines = torch.rand(2, 2, 3, 10, 10)
    before = views.clone()
    plain = differentiate(classifier, views.clone(), one_hot(2))[1]
    for failing in (False, True):
        fails.failing = failing
        for rule in (
            lambda: guided_gradients(classifier, views, one_hot(2)),
            lambda: multipliers(classifier, views, baselines),
        ):
            if failing:
                with pytest.raises(RuntimeError, match="on demand"):
                    rule()
            else:
                rule()
        fails.failing = False
        assert torch.equal(differentiate(classifier, views.clone(), one_hot(2))[1], plain)
    assert torch.equal(views, before)


def test_rules_keep_no_tensors() -> None:
    in_place = (nn.Hardtanh(0, 6, inplace=True), nn.Conv2d(6, 4, 1), nn.SiLU(inplace=True), nn.MaxPool2d(2))
    product = Apply(lambda z: z * torch.sigmoid(z.mean((2, 3), keepdim=True)))
    classifier = classifier_of(network_of(nn.Conv2d(3, 6, 3), *in_place, product, nn.Flatten(), nn.Linear(64, CLASSES)))
    views = torch.rand(1, 3, 10, 10)

    def tensors() -> int:
        multipliers(classifier, views, torch.zeros_like(views))
        guided_gradients(classifier, views.clone(), one_hot(1))
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    tensors()
    assert tensors() == tensors()


def test_rules_hold_for_their_own_thread_alone() -> None:
    classifier = random_classifier("torchvision/resnet18")
    views = random_pictures(1)
    rules: list[Callable[[], Tensor]] = [
        lambda: differentiate(classifier, views.clone(), one_hot(1))[1],
        lambda: guided_gradients(classifier, views.clone(), one_hot(1))[1],
        lambda: multipliers(classifier, views.clone(), torch.zeros_like(views)),
    ]
    alone = [rule() for rule in rules]
    together = threading.Barrier(8)

    def at_once(number: int) -> Tensor:
        together.wait(timeout=30)
        return rules[number % 3]()

    with ThreadPoolExecutor(8) as threads:
        for number, found in enumerate(threads.map(at_once, range(24))):
            torch.testing.assert_close(
                found, alone[number % 3], rtol=0, atol=1e-6 * float(alone[number % 3].abs().max())
            )
