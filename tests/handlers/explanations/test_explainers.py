"""Every explainer against an independent implementation, and against the axioms that it promises.

To add a method, add its row to `ROWS`: what it promises is then checked. A method that keeps none of the promises below
needs tests of its own beside its row.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pytest
import torch
from captum.attr import GradientShap, InputXGradient, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency
from torch import Tensor, nn

from architectures import classifier_of, network_of
from clocks import Clock, Slow
from explaining import explained, question_of, task_of
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.differentiable import Differentiable
from whybox_handlers.passes.scheduler import Task, run

SIDE = 12
CLASSES = 4
Peer = Callable[[Differentiable, Tensor, int, Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """What a method promises.

    Attributes:
        peer: (network, [1, 3, H, W] picture, target, [N, 3, H, W] baselines) to the same map [1, ...] by others; None
            for a method that is compared elsewhere.
        error: How far the two maps may be apart, as a share of the peer's (root of sums of squares).
        evaluations: What the method may spend there; None for its default.
        linear: Of the network w x + c it gives, for the picture x and the baseline b: "w", "|w|", "w x" or "w (x - b)";
            "" for a method that gives something else.
        pixels: Whether it gives a value for each pixel and channel, and 0 where the network does not look.
        points: Whether it finds a small cue that alone decides.
        gradients: Whether it depends on the function alone and not on how the network computes it.
    """

    peer: Peer | None = None
    error: float = 1e-5
    evaluations: int | None = None
    linear: str = ""
    pixels: bool = True
    points: bool = True
    gradients: bool = True


def captum_saliency(network: Differentiable, picture: Tensor, target: int, _: Tensor) -> Tensor:
    attributions: Tensor = Saliency(network).attribute(picture, target=target)
    return attributions


def captum_input_x_gradient(network: Differentiable, picture: Tensor, target: int, _: Tensor) -> Tensor:
    attributions: Tensor = InputXGradient(network).attribute(picture, target=target)
    return attributions


def captum_grad_cam(network: Differentiable, picture: Tensor, target: int, _: Tensor) -> Tensor:
    cam = LayerGradCam(network, network.features)
    attributions: Tensor = cam.attribute(picture, target, relu_attributions=True)
    return attributions[:, 0]


def captum_integrated_gradients(network: Differentiable, picture: Tensor, target: int, baselines: Tensor) -> Tensor:
    integrated = IntegratedGradients(network)
    maps = [integrated.attribute(picture, baseline[None], target, n_steps=1000) for baseline in baselines]
    return torch.stack(maps).mean(dim=0)


def captum_gradient_shap(network: Differentiable, picture: Tensor, target: int, baselines: Tensor) -> Tensor:
    shap = GradientShap(network)
    attributions: Tensor = shap.attribute(picture, baselines=baselines, n_samples=4000, stdevs=0.0, target=target)
    return attributions


def captum_smooth_grad(network: Differentiable, picture: Tensor, target: int, _: Tensor) -> Tensor:
    tunnel = NoiseTunnel(Saliency(network))
    attributions: Tensor = tunnel.attribute(picture, nt_samples=4000, stdevs=0.1, target=target, abs=False)
    return attributions


ROWS = {
    "saliency": Row(captum_saliency, linear="|w|"),
    "input_x_gradient": Row(captum_input_x_gradient, linear="w x"),
    "grad_cam": Row(captum_grad_cam, pixels=False),
    "integrated_gradients": Row(captum_integrated_gradients, error=1e-2, evaluations=300, linear="w (x - b)"),
    # Both are means over thousands of samples; the error is what chance leaves.
    "gradient_shap": Row(captum_gradient_shap, error=1e-1, evaluations=4000, linear="w (x - b)"),
    "smooth_grad": Row(captum_smooth_grad, error=5e-2, evaluations=4000, linear="w"),
    # Compared with Captum and with closed forms in test_propagation.py.
    "hires_cam": Row(pixels=False),
    "guided_grad_cam": Row(gradients=False),
    "deep_lift": Row(linear="w (x - b)", gradients=False),
    # They see the network from outside, by pictures with parts removed.
    "occlusion": Row(pixels=False, points=False),
    "rise": Row(pixels=False, points=False),
    "kernel_shap": Row(pixels=False, points=False),
}


def methods(promised: Callable[[Row], object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("method", [method for method, row in ROWS.items() if promised(row)])


COMPLETE = ("integrated_gradients", "gradient_shap")
ANYTIME = [method for method, row in EXPLAINERS.items() if row.default_tolerance is not None]
SEEDED = ("smooth_grad", "gradient_shap")


@pytest.fixture(scope="module")
def classifier(lite0: Classifier) -> Classifier:
    """No test here needs what packing knows of the model."""
    return lite0


@pytest.fixture(scope="module")
def views(all_views: Tensor, lite0: Classifier) -> list[tuple[Tensor, int]]:
    """Three real pictures as the model sees them, with the class it predicts."""
    return [(view, int(lite0.serve(view[None]).argmax())) for view in all_views[:3]]


def convolutional() -> Classifier:
    """Two convolutions with ReLU, pooling and a linear layer; random weights."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    return classifier_of(network_of(*head, features=features))


def linear() -> tuple[Classifier, Tensor]:
    """One linear layer, and its weights [CLASSES, 3, SIDE, SIDE] in pixel values."""
    torch.manual_seed(0)
    layer = nn.Linear(3 * SIDE * SIDE, CLASSES)
    classifier = classifier_of(network_of(nn.Flatten(1), layer))
    # The network divides by the standard deviation itself.
    return classifier, layer.weight.detach().view(CLASSES, 3, SIDE, SIDE) / classifier.network.std


def noise(seed: int = 1) -> Tensor:
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_every_method_has_a_row() -> None:
    assert set(ROWS) == set(EXPLAINERS)


@methods(lambda _: True)
def test_the_map_has_the_shape_that_the_registry_tells(method: str) -> None:
    classifier, picture = convolutional(), noise()
    question = question_of(classifier, picture, 0)
    assert question.maps is not None
    cells = tuple(question.maps.shape[1:])
    row = EXPLAINERS[method]
    assert tuple(explained(classifier, method, question).values.shape) == row.map_shape(SIDE, cells)
    assert row.map_shape(SIDE, None) == (() if row.needs_maps else row.map_shape(SIDE, cells))


@methods(lambda row: row.peer)
@pytest.mark.parametrize("target", [0, CLASSES - 1])
def test_equals_an_independent_implementation(method: str, target: int) -> None:
    row, classifier, picture = ROWS[method], convolutional(), noise()
    baselines = torch.stack([torch.zeros_like(picture), torch.full_like(picture, 0.5)])
    torch.manual_seed(2)
    np.random.seed(2)  # Captum draws baselines and places with it
    with warnings.catch_warnings(action="ignore"):  # Captum's, about the gradients that it switches on
        assert row.peer is not None
        theirs = row.peer(classifier.network, picture[None].requires_grad_(), target, baselines)[0].detach()
    ours = explained(classifier, method, question_of(classifier, picture, target, *baselines), row.evaluations).values
    assert ours.shape == theirs.shape
    assert float((ours - theirs).norm()) <= row.error * float(theirs.norm())


@pytest.mark.parametrize("target", [0, CLASSES - 1])
def test_gradients_are_finite_differences(target: int) -> None:
    classifier, picture, step = convolutional(), noise().double(), 1e-6
    classifier.network.double()
    steps = step * torch.eye(picture.numel(), dtype=torch.float64).view(-1, *picture.shape)
    with torch.no_grad():
        rise, fall = (classifier.network(picture + sign * steps)[:, target] for sign in (1, -1))
    slopes = ((rise - fall) / (2 * step)).view(picture.shape)
    question = question_of(classifier, picture, target)
    for method, expected in (("saliency", slopes.abs()), ("input_x_gradient", picture * slopes)):
        torch.testing.assert_close(explained(classifier, method, question).values, expected, rtol=1e-4, atol=1e-8)


@methods(lambda row: row.linear)
@pytest.mark.parametrize("evaluations", [4, 5, 32])
def test_of_a_linear_network_it_is_exact(method: str, evaluations: int) -> None:
    (classifier, weights), picture, baseline = linear(), noise(), noise(2)
    w = weights[2]
    expected = {"w": w, "|w|": w.abs(), "w x": w * picture, "w (x - b)": w * (picture - baseline)}
    # One baseline: of several, gradient_shap draws as it likes.
    found = explained(classifier, method, question_of(classifier, picture, 2, baseline), evaluations)
    torch.testing.assert_close(found.values, expected[ROWS[method].linear], rtol=1e-4, atol=1e-6)
    if found.residual is not None:
        assert found.residual <= (1e-3 if method in SEEDED else 1e-5)


@pytest.mark.parametrize(
    ("method", "evaluations", "error"), [("integrated_gradients", 400, 1e-3), ("gradient_shap", 4000, 0.1)]
)
def test_with_many_evaluations_values_add_up(method: str, evaluations: int, error: float) -> None:
    classifier, picture = convolutional(), noise()
    question = question_of(classifier, picture, 1, torch.zeros_like(picture), torch.ones_like(picture))
    with torch.no_grad():
        baseline_value = float(classifier.network(torch.stack(question.baselines))[:, 1].mean())
    found = explained(classifier, method, question, evaluations)
    assert found.complete
    assert found.baseline_value == pytest.approx(baseline_value, abs=1e-5)
    assert float(found.values.double().sum()) == pytest.approx(question.value - baseline_value, rel=error)


@pytest.mark.parametrize("baselines", [1, 3])
def test_integrated_gradients_are_never_scaled(
    baselines: int, classifier: Classifier, views: list[tuple[Tensor, int]]
) -> None:
    view, target = views[0]
    question = question_of(classifier, view, target, *(torch.full_like(view, level / 3) for level in range(baselines)))
    found = explained(classifier, "integrated_gradients", question, 2 * baselines)
    assert found.baseline_value is not None
    change = question.value - found.baseline_value
    gap = float(found.values.double().sum()) - change
    # So few gradients miss the change by far, and the residual says so.
    assert found.residual == pytest.approx(abs(gap / change), abs=1e-3)
    assert abs(gap / change) > 0.05


def test_of_no_change_nothing_is_to_explain() -> None:
    classifier, picture = convolutional(), noise()
    question = question_of(classifier, picture, 0, picture)
    found = explained(classifier, "integrated_gradients", question)
    assert (float(found.values.abs().max()), found.residual) == (0, 0)


@pytest.mark.parametrize("method", COMPLETE)
def test_sensitivity_where_the_gradient_is_flat(method: str) -> None:
    """The axiom's own example: 1 - relu(1 - x) is flat at x = 2, and yet x made all the change from 0 to 1."""
    first = nn.Linear(3 * SIDE * SIDE, 1)
    last = nn.Linear(1, 2)
    with torch.no_grad():
        first.weight.zero_()
        first.weight[0, 7] = -1
        # Flat above a normalised value of 0, which is one half of the range and less for a black baseline.
        first.bias.zero_()
        last.weight.fill_(-1)
        last.bias.fill_(1)
    classifier = classifier_of(network_of(nn.Flatten(1), first, nn.ReLU(), last))
    picture = torch.full((3, SIDE, SIDE), 0.9)
    question = question_of(classifier, picture, 0)
    assert float(explained(classifier, "saliency", question).values.abs().max()) == 0
    values = explained(classifier, method, question, 400).values.flatten()
    with torch.no_grad():
        black, full = classifier.network(torch.stack([torch.zeros_like(picture), picture]))[:, 0]
    assert float(values[7]) == pytest.approx(float(full - black), rel=0.1)
    assert int((values != 0).sum()) == 1


@methods(lambda row: row.pixels)
def test_pixels_that_do_not_matter_get_nothing(method: str) -> None:
    classifier = convolutional()
    with torch.no_grad():
        classifier.network.get_parameter("features.0.weight")[:, 1] = 0
    values = explained(classifier, method, question_of(classifier, noise(), 0)).values
    assert float(values[1].abs().max()) == 0
    assert float(values[0].abs().max()) > 0


@methods(lambda row: row.gradients)
def test_does_not_depend_on_how_the_function_is_written(method: str) -> None:
    one = convolutional()
    other = convolutional()
    # relu(z) = (|z| + z) / 2 = 2 relu(z / 2), and a linear layer in two.
    hidden, _, last = list(other.network.head.children())[2:]
    assert isinstance(hidden, nn.Linear)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        hidden.weight.div_(2)
        hidden.bias.div_(2)
        doubled = nn.Linear(16, 32)
        doubled.weight.copy_(torch.cat([torch.eye(16), torch.eye(16)]))
        doubled.bias.zero_()
        final = nn.Linear(32, CLASSES)
        final.weight.copy_(torch.cat([1.5 * last.weight, 0.5 * last.weight], dim=1))
        final.bias.copy_(last.bias)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(1), hidden, nn.ReLU(), doubled, final)
    other = classifier_of(network_of(*head, features=other.network.features))
    picture = noise()
    maps = [explained(each, method, question_of(each, picture, 1)).values for each in (one, other)]
    assert float(maps[0].norm()) > 0
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-3, atol=1e-5 * float(maps[0].abs().max()))


def cue_detector() -> tuple[Classifier, Tensor]:
    """A network whose answer depends only on whether a 5 x 5 cue is in the picture; and the cue."""
    cue = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(3)).round()
    template = cue - cue.mean()
    convolution = nn.Conv2d(3, 1, 5, padding=2)
    head = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(template[None] / template.square().sum())
        # Normalisation scales the full answer, 1, by about 4. Half of it is enough, which no background reaches.
        nn.init.constant_(convolution.get_parameter("bias"), -2)
        head.weight.copy_(torch.tensor([[0.0], [100.0]]))
    features = nn.Sequential(convolution, nn.ReLU())
    return classifier_of(network_of(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), head, features=features)), cue


@methods(lambda row: row.points)
def test_points_at_what_decides(method: str) -> None:
    (classifier, cue), side, trials = cue_detector(), 32, 20
    generator, hits = torch.Generator().manual_seed(4), 0
    for _ in range(trials):
        picture = 0.3 + 0.4 * torch.rand(3, side, side, generator=generator)
        assert float(classifier.serve(picture[None])[0, 1]) == 0
        top, left = torch.randint(side - 5, (2,), generator=generator).tolist()
        picture[:, top : top + 5, left : left + 5] = cue
        values = explained(classifier, method, question_of(classifier, picture, 1)).values
        strength = values.abs().sum(dim=0) if values.dim() == 3 else values
        row, column = divmod(int(strength.argmax()), strength.shape[1])
        hits += top <= row < top + 5 and left <= column < left + 5
    assert hits >= 0.95 * trials


def small_tasks(classifier: Classifier, views: list[tuple[Tensor, int]]) -> dict[tuple[str, int], Task[Attribution]]:
    """Every method on real pictures in turn, with as few evaluations as it takes."""
    tasks = {}
    for method, (number, (view, target)) in zip(ROWS, cycle(enumerate(views)), strict=False):
        question = question_of(classifier, view, target, torch.zeros_like(view))
        evaluations = max(EXPLAINERS[method].min_evaluations, 9) if EXPLAINERS[method].default_evaluations else None
        tasks[method, number] = task_of(method, question, evaluations)[0]
    return tasks


def test_the_same_map_alone_in_company_and_in_any_thread(
    classifier: Classifier, views: list[tuple[Tensor, int]]
) -> None:
    def alone(task: Task[Attribution]) -> Task[Attribution]:
        run(classifier, [task])
        return task

    first = {key: alone(task).outcome for key, task in small_tasks(classifier, views).items()}
    company = small_tasks(classifier, views)
    run(classifier, list(company.values()))
    threads = small_tasks(classifier, views)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(alone, threads.values()))
    for key, expected in first.items():
        assert isinstance(expected, Attribution), (key, expected)
        for found in (company[key].outcome, threads[key].outcome):
            assert isinstance(found, Attribution), (key, found)
            assert torch.equal(found.values, expected.values), key
            assert found.residual == expected.residual, key


@pytest.mark.parametrize("method", SEEDED)
def test_seeds_replay_and_differ(method: str) -> None:
    classifier, picture = convolutional(), noise()
    baselines = (torch.zeros_like(picture), torch.ones_like(picture))
    one, again, other = (
        explained(classifier, method, question_of(classifier, picture, 0, *baselines, seed=seed)).values
        for seed in (5, 5, 6)
    )
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("method", SEEDED)
def test_the_residual_is_the_error_to_expect(method: str) -> None:
    classifier, picture = convolutional(), noise()
    baselines = (torch.zeros_like(picture), torch.ones_like(picture))
    exact = explained(classifier, method, question_of(classifier, picture, 0, *baselines), 4000).values
    ratios = []
    for seed in range(1, 25):
        found = explained(classifier, method, question_of(classifier, picture, 0, *baselines, seed=seed), 32)
        assert found.residual is not None
        ratios.append((float((found.values - exact).norm()) / (found.residual * float(found.values.norm()))) ** 2)
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("method", ["integrated_gradients", *SEEDED])
def test_spends_what_is_granted(method: str) -> None:
    classifier = convolutional()
    for evaluations in (4, 7, 30):
        task, passes = task_of(method, question_of(classifier, noise(), 0), evaluations)
        run(classifier, [task])
        assert isinstance(task.outcome, Attribution)
        assert task.outcome.stopped_by == "evaluations"
        assert passes.gradient_evaluations == evaluations


@pytest.mark.parametrize("method", ANYTIME)
def test_stops_at_the_tolerance(method: str) -> None:
    classifier = convolutional()
    question = question_of(classifier, noise(), 0, tolerance=0.99)
    task, passes = task_of(method, question)
    run(classifier, [task])
    assert isinstance(task.outcome, Attribution)
    assert task.outcome.stopped_by == "tolerance"
    assert task.outcome.residual is not None
    assert task.outcome.residual <= 0.99
    row = EXPLAINERS[method]
    spent = passes.gradient_evaluations if row.evaluations == "gradient" else passes.forward_evaluations
    assert spent < row.default_evaluations


@pytest.mark.parametrize("method", ANYTIME)
def test_ends_before_the_deadline(method: str) -> None:
    fast = convolutional().network
    clock = Clock()
    classifier = classifier_of(network_of(Slow(clock, 0.002), *fast.head.children(), features=fast.features))
    question = question_of(classifier, noise(), 0)
    limits = clock.limits(0.8 if EXPLAINERS[method].evaluations == "gradient" else 2)
    task, _ = task_of(method, question, 10_000, limits)
    run(classifier, [task])
    assert limits.seconds_left() > 0
    assert isinstance(task.outcome, Attribution), task.outcome
    assert task.outcome.stopped_by == "deadline"


def test_many_evaluations_do_not_fill_the_memory() -> None:
    """Beyond a number of trapezoids the calmest are closed; the integral stays right."""
    classifier = convolutional()
    question = question_of(classifier, noise(), 0)
    found = explained(classifier, "integrated_gradients", question, 1000)
    assert found.residual is not None
    assert found.residual < 1e-3
    fewer = explained(classifier, "integrated_gradients", question, 100)
    torch.testing.assert_close(found.values, fewer.values, rtol=1e-2, atol=1e-2 * float(fewer.values.abs().max()))


@pytest.mark.parametrize("method", ROWS)
def test_defaults_are_those_of_the_registry(method: str) -> None:
    row = EXPLAINERS[method]
    options = row.defaults(method, target_class=3, encodings=["float32"])
    assert (options.method, options.channels, options.target_class) == (method, "sum", 3)
    assert list(options.encodings) == ["float32"]
    assert options.max_evaluations == row.default_evaluations
    assert options.tolerance == (row.default_tolerance or 0)
    assert options.baseline == row.default_baseline
    assert not row.defaults(method, baseline_image=b"own").baseline
