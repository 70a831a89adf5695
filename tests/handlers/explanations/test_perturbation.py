"""Explainers that see the network from outside, against brute force, closed forms and Captum."""

import sys
from dataclasses import replace
from itertools import combinations
from math import comb

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor, nn
from torch.nn.functional import interpolate

from architectures import CLASSES, classifier_of, network_of, random_pictures
from clocks import Clock, Slow
from explaining import explained, question_of, task_of
from whybox.v1 import errors
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.explanations.explainers.occlusion import grid
from whybox_handlers.explanations.superpixels import Superpixels
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.runtimes.local_network import Box
from whybox_handlers.passes.scheduler import run

SIDE = 21
TARGET = 2
FORWARD_ONLY = ("occlusion", "rise", "kernel_shap")


@pytest.fixture(scope="module")
def views(all_views: Tensor) -> list[Tensor]:
    """Two real pictures as the model sees them."""
    return list(all_views[3:5])


@pytest.fixture(scope="module")
def small() -> Classifier:
    torch.manual_seed(1)
    convolution, last = nn.Conv2d(3, 8, 5, stride=2), nn.Linear(8 * 4, CLASSES)
    nn.init.normal_(last.weight, std=3)
    return classifier_of(
        network_of(convolution, nn.SiLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(1), nn.Tanh(), last),
    )


@pytest.fixture(scope="module")
def linear() -> Classifier:
    torch.manual_seed(2)
    return classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * SIDE * SIDE, CLASSES)))


def pixel_weights(linear: Classifier, target: int = TARGET) -> Tensor:
    """[3, H, W]: of the linear network's logit; its input is normalised."""
    weights = linear.network.get_parameter("head.1.weight")[target].view(3, SIDE, SIDE)
    return (weights / linear.network.std).detach()


def value(classifier: Classifier, question: Question, picture: Tensor) -> float:
    with torch.no_grad():
        return float(classifier.network(picture[None])[0] @ question.objective)


def question(classifier: Classifier, *baselines: Tensor, side: int = SIDE, tolerance: float = 0) -> Question:
    return question_of(classifier, random_pictures(1, side)[0], TARGET, *baselines, tolerance=tolerance)


def error(found: Tensor, expected: Tensor) -> float:
    """As a share of what is expected, both as root of the sums of squares."""
    return float((found - expected).norm() / expected.norm())


# Occlusion


def brute_occlusion(classifier: Classifier, asked: Question, window: int, stride: int) -> Tensor:
    """Each window alone; pixels take the mean."""
    _, height, width = asked.picture.shape
    drops, covers = torch.zeros(height, width), torch.zeros(height, width)
    for baseline in asked.baselines:
        top = 0
        while True:
            left = 0
            while True:
                place = (slice(top, top + window), slice(left, left + window))
                picture = asked.picture.clone()
                picture[:, *place] = baseline[:, *place]
                drops[place] += asked.value - value(classifier, asked, picture)
                covers[place] += 1
                if left + window >= width:
                    break
                left += stride
            if top + window >= height:
                break
            top += stride
    return drops / covers


@pytest.mark.parametrize(("evaluations", "stride"), [(400, 1), (100, 2), (36, 3), (25, 4), (24, 5), (4, 7), (1, 11)])
def test_occlusion_equals_brute_force(small: Classifier, evaluations: int, stride: int) -> None:
    asked = question(small, torch.full((3, SIDE, SIDE), 0.5))
    task, passes = task_of("occlusion", asked, evaluations)
    run(small, [task])
    assert isinstance(task.outcome, Attribution)
    expected = brute_occlusion(small, asked, 2 * stride, stride)
    torch.testing.assert_close(task.outcome.values, expected, rtol=0, atol=1e-5)
    assert (task.outcome.stopped_by, task.outcome.units, task.outcome.signed) == ("done", "logit", True)
    assert passes.forward_evaluations <= evaluations


def test_occlusion_equals_captum_on_real_pictures(lite0: Classifier, views: list[Tensor]) -> None:
    occlusion = Occlusion(lite0.network)
    for view in views:
        target = int(lite0.serve(view[None]).argmax())
        ours = explained(lite0, "occlusion", question_of(lite0, view, target, torch.full_like(view, 0.5)), 49)
        with torch.no_grad():
            theirs = occlusion.attribute(view[None], (3, 56, 56), (3, 28, 28), baselines=0.5, target=target)[0]
        torch.testing.assert_close(ours.values, theirs[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "most"), [(224, 224, 169), (224, 224, 170), (30, 50, 40), (7, 7, 1)])
def test_windows_cover_the_picture_early(height: int, width: int, most: int) -> None:
    windows = grid(height, width, most)
    assert len(windows) == len(set(windows)) <= most
    covered = torch.zeros(height, width)
    for box in windows[: len(windows) // 2 + 1]:
        covered[box.top : box.bottom, box.left : box.right] = 1
    assert covered.all()


def test_default_windows_are_those_that_are_documented() -> None:
    windows = grid(224, 224, EXPLAINERS["occlusion"].default_evaluations)
    assert (len(windows), windows[0], windows[1]) == (13 * 13, Box(0, 0, 32, 32), Box(0, 32, 32, 64))


# RISE


def shifted(count: int, side: int) -> Tensor:
    """Per shift, the rows of a mask by its cells, [count, side, 7]: the paper's enlargement, one shift at a time."""
    cell = -(-side // 7)
    enlarged = interpolate(torch.eye(7)[None, None], size=(8 * cell, 7), mode="bilinear")[0, 0]
    return torch.stack([enlarged[shift : shift + side] for shift in range(count)])


def test_rise_of_a_linear_network_is_its_expectation(linear: Classifier) -> None:
    asked = question(linear)
    found = explained(linear, "rise", asked, 6000)
    # cov(m_p, m_q) = 1/4 of the mean over shifts of the product of what each cell gives to p and to q.
    by_cells = shifted(3, SIDE).double()
    pairs = torch.einsum("sac,sbc->sab", by_cells, by_cells)
    slopes = (pixel_weights(linear) * asked.picture).sum(dim=0).double()
    covariance = 0.25 * torch.einsum("sab,tcd,bd->ac", pairs, pairs, slopes) / 9
    assert found.residual is not None
    assert error(found.values, covariance / 0.5) <= 1.5 * found.residual <= 0.2


def plain_rise(classifier: Classifier, asked: Question, count: int) -> Tensor:
    """As in the paper's code, but for the mean."""
    torch.manual_seed(4)
    kept, values = torch.zeros(count, SIDE, SIDE), torch.zeros(count)
    for index in range(count):
        cells = (torch.rand(1, 1, 7, 7) < 0.5).float()
        top, left = torch.randint(3, (2,)).tolist()
        kept[index] = interpolate(cells, size=(24, 24), mode="bilinear")[0, 0, top : top + SIDE, left : left + SIDE]
        values[index] = value(classifier, asked, kept[index] * asked.picture)
    return torch.einsum("n,nhw->hw", values - values.mean(), kept) / count / 0.5


def test_rise_converges_to_a_plain_one(small: Classifier) -> None:
    asked = question(small)
    plain, found = plain_rise(small, asked, 6000), explained(small, "rise", asked, 6000)
    assert found.residual is not None
    # Both have the same error.
    assert error(found.values, plain) <= 1.5 * 2**0.5 * found.residual <= 0.3


def test_rise_tells_its_error(small: Classifier) -> None:
    asked = question(small)
    best = explained(small, "rise", replace(asked, seed=99), 20000).values
    for seed in range(4):
        found = explained(small, "rise", replace(asked, seed=seed), 600)
        assert found.residual is not None
        assert 0.6 * found.residual <= error(found.values, best) <= 1.6 * found.residual


# Kernel SHAP


def shapley(values: dict[frozenset[int], float], pieces: int) -> Tensor:
    """By definition: what a piece adds, weighted over all coalitions of the others."""
    phi = torch.zeros(pieces, dtype=torch.float64)
    for piece in range(pieces):
        others = [other for other in range(pieces) if other != piece]
        for size in range(pieces):
            for coalition in map(frozenset, combinations(others, size)):
                gain = values[coalition | {piece}] - values[coalition]
                phi[piece] += gain / (pieces * comb(pieces - 1, size))
    return phi


def exact_map(classifier: Classifier, asked: Question, segments: Tensor) -> Tensor:
    sizes = segments.flatten().bincount()
    coalitions = [frozenset(each) for size in range(len(sizes) + 1) for each in combinations(range(len(sizes)), size)]
    values = dict.fromkeys(coalitions, 0.0)
    for baseline in asked.baselines:
        for coalition in coalitions:
            kept = torch.isin(segments, torch.tensor(sorted(coalition), dtype=torch.int64))
            values[coalition] += value(classifier, asked, torch.where(kept, asked.picture, baseline))
    return (shapley(values, len(sizes)) / len(asked.baselines) / sizes)[segments].float()


def cut_into(monkeypatch: pytest.MonkeyPatch, pieces: int) -> Tensor:
    """Makes explainers cut pictures into columns of several widths."""
    columns = torch.arange(SIDE).sqrt().mul(pieces / SIDE**0.5).long().tolist()
    numbers = {column: number for number, column in enumerate(sorted(set(columns)))}
    segments = torch.tensor([numbers[column] for column in columns]).expand(SIDE, SIDE).contiguous()
    module = sys.modules["whybox_handlers.explanations.explainers.kernel_shap"]
    monkeypatch.setattr(module, "segments_of", lambda _picture, _pieces: Superpixels(segments, "slic"))
    return segments


@pytest.mark.parametrize("baselines", [1, 2])
@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
def test_kernel_shap_is_exact_where_it_can_be(
    small: Classifier, monkeypatch: pytest.MonkeyPatch, pieces: int, baselines: int
) -> None:
    segments = cut_into(monkeypatch, pieces)
    asked = question(small, *random_pictures(3, SIDE)[:baselines])
    task, passes = task_of("kernel_shap", asked, baselines * 128)
    run(small, [task])
    assert isinstance(task.outcome, Attribution)
    torch.testing.assert_close(task.outcome.values, exact_map(small, asked, segments), rtol=0, atol=1e-5)
    assert (task.outcome.stopped_by, task.outcome.residual) == ("done", 0)
    assert passes.forward_evaluations == baselines * (2 ** int(segments.max() + 1) - 1)


def test_kernel_shap_converges_to_the_exact_values(small: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = cut_into(monkeypatch, 10)
    asked = question(small)
    exact = exact_map(small, asked, segments)
    mean_errors = []
    for evaluations in (100, 500):
        answers = [explained(small, "kernel_shap", replace(asked, seed=seed), evaluations) for seed in range(8)]
        found = torch.tensor([[error(answer.values, exact), answer.residual or 0] for answer in answers])
        rms, told = found.square().mean(dim=0).sqrt().tolist()
        assert 0.6 * told <= rms <= 1.6 * told
        mean_errors.append(rms)
    assert mean_errors[1] < 0.7 * mean_errors[0] < 0.7


@pytest.mark.parametrize("evaluations", [300, 64])
def test_kernel_shap_of_a_linear_network_needs_no_luck(linear: Classifier, evaluations: int) -> None:
    asked = question(linear, torch.full((3, SIDE, SIDE), 0.3))
    found = explained(linear, "kernel_shap", asked, evaluations)
    changes = (pixel_weights(linear) * (asked.picture - 0.3)).sum(dim=0)
    for each in set(found.values.flatten().tolist()):
        inside = found.values == each
        assert float(found.values[inside].sum()) == pytest.approx(float(changes[inside].sum()), abs=1e-4)


@pytest.mark.parametrize("evaluations", [64, 200, 1000])
def test_kernel_shap_adds_up(small: Classifier, evaluations: int) -> None:
    asked = question(small, *random_pictures(3, SIDE))
    found = explained(small, "kernel_shap", asked, evaluations)
    assert found.complete
    assert found.baseline_value == pytest.approx(sum(value(small, asked, each) for each in asked.baselines) / 3)
    assert float(found.values.double().sum()) == pytest.approx(asked.value - (found.baseline_value or 0.0), abs=1e-4)


# What they have in common


@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_a_contrast_is_the_difference_of_two_classes(small: Classifier, method: str) -> None:
    one, other = question(small), question_of(small, random_pictures(1, SIDE)[0], 5)
    maps = [
        explained(small, method, replace(one, objective=objective), 64).values
        for objective in (one.objective, other.objective, one.objective - other.objective)
    ]
    torch.testing.assert_close(maps[2], maps[0] - maps[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_several_baselines_give_the_mean_of_their_maps(small: Classifier, method: str) -> None:
    several = question(small, *random_pictures(3, SIDE))
    # The same masks for each.
    together = explained(small, method, several, 3 * 128).values
    alone = [explained(small, method, replace(several, baselines=(each,)), 128).values for each in several.baselines]
    torch.testing.assert_close(together, torch.stack(alone).mean(dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["rise", "kernel_shap"])
def test_the_seed_decides(small: Classifier, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    cut_into(monkeypatch, 10)
    first, again, another = (
        explained(small, method, replace(question(small), seed=seed), 300).values for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, another, atol=1e-3)


@pytest.mark.parametrize("baselines", [1, 3])
@pytest.mark.parametrize("evaluations", [128, 130, 333])
@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_budgets_hold(
    small: Classifier, monkeypatch: pytest.MonkeyPatch, method: str, evaluations: int, baselines: int
) -> None:
    cut_into(monkeypatch, 10)
    task, passes = task_of(method, question(small, *random_pictures(3, SIDE)[:baselines]), evaluations)
    run(small, [task])
    assert isinstance(task.outcome, Attribution)
    assert task.outcome.values.isfinite().all()
    assert 0 < passes.forward_evaluations <= evaluations
    if method != "occlusion":  # whose grid is square
        assert passes.forward_evaluations > evaluations - 3 * baselines
    assert passes.gradient_evaluations == 0


@pytest.mark.parametrize("method", ["rise", "kernel_shap"])
def test_a_tolerance_is_met(small: Classifier, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    cut_into(monkeypatch, 14)
    task, passes = task_of(method, question(small, tolerance=0.25), 2000)
    run(small, [task])
    assert isinstance(task.outcome, Attribution)
    assert (task.outcome.stopped_by, (task.outcome.residual or 0) <= 0.25) == ("tolerance", True)
    assert passes.forward_evaluations < 2000


@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_a_deadline_ends_with_what_there_is(method: str) -> None:
    torch.manual_seed(0)
    clock = Clock()
    slow = classifier_of(network_of(Slow(clock, 0.002), nn.Flatten(1), nn.Linear(3 * SIDE * SIDE, CLASSES)))
    asked = question(slow)
    allowed = {"occlusion": 400, "rise": 2000, "kernel_shap": 1000}[method]
    limits = clock.limits(0.7)
    task, passes = task_of(method, asked, allowed, limits)
    run(slow, [task])
    assert limits.seconds_left() > 0
    assert isinstance(task.outcome, Attribution), task.outcome
    assert task.outcome.stopped_by == "deadline"
    assert 0 < passes.forward_evaluations < allowed
    hopeless, _ = task_of(method, asked, allowed, clock.limits(0.06))
    run(slow, [hopeless])
    assert isinstance(hopeless.outcome, errors.DeadlineExceededError | Attribution)


@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_a_planted_cue_is_found(method: str) -> None:
    weights = torch.zeros(CLASSES, 3, SIDE, SIDE)
    weights[TARGET, :, 12:17, 3:8] = 1
    layer = nn.Linear(3 * SIDE * SIDE, CLASSES)
    layer.load_state_dict({"weight": weights.flatten(1), "bias": torch.zeros(CLASSES)})
    classifier = classifier_of(network_of(nn.Sigmoid(), nn.Flatten(1), layer))
    found = explained(classifier, method, question(classifier)).values
    cue = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    cue[12:17, 3:8] = True
    assert found[cue].mean() > 3 * found[~cue].abs().mean()
    row, column = divmod(int(found.argmax()), SIDE)
    assert 10 <= row < 19
    assert 1 <= column < 10
