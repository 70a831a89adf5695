"""Certificates: the statistics against scipy, the radius against the closed form of a linear model."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from architectures import classifier_of, network_of
from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError, FailedPreconditionError
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.robustness import smoothing

SIGMA = 0.25
ALPHA = 0.001


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.4])
@pytest.mark.parametrize(
    ("count", "samples"), [(0, 100), (1, 100), (50, 100), (99, 100), (100, 100), (993, 1000), (99_999, 100_000)]
)
def test_the_lower_bound_is_that_of_clopper_and_pearson(count: int, samples: int, alpha: float) -> None:
    exact = binomtest(count, samples, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    assert smoothing.lower_bound(count, samples, alpha) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_without_samples_nothing_is_known() -> None:
    assert smoothing.lower_bound(0, 0, ALPHA) == 0


@pytest.mark.parametrize("samples", [100, 1000])
def test_more_than_all_samples_cannot_be_known(samples: int) -> None:
    assert smoothing.lower_bound(samples, samples, ALPHA) == pytest.approx(ALPHA ** (1 / samples), rel=1e-12)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 0.5001, 0.9, 0.999999])
def test_the_radius_is_a_quantile_of_the_noise(probability: float) -> None:
    found = smoothing.radius(SIGMA, probability)
    if probability <= 0.5:
        assert found is None
    else:
        assert found == pytest.approx(SIGMA * norm.ppf(probability), rel=1e-9)


def test_noise_is_normal_and_its_own_in_every_draw_and_seed() -> None:
    shape = torch.Size((3, 50, 50))
    draws = {(seed, draw): smoothing.noise(seed, draw, shape) for seed in (0, 7, 2**32 - 1) for draw in (0, 1, 100_099)}
    for key, drawn in draws.items():
        assert drawn.dtype == torch.float32
        assert abs(float(drawn.mean())) < 5 / math.sqrt(drawn.numel())
        assert float(drawn.std()) == pytest.approx(1, abs=0.04)
        assert torch.equal(drawn, smoothing.noise(*key, shape))
    numbers = np.corrcoef(np.stack([drawn.flatten().numpy() for drawn in draws.values()]))
    assert np.abs(numbers - np.eye(len(draws))).max() < 0.06


class Linear(nn.Module):
    """Two classes whose logits differ by w . x + b for pixel values x, and what a test wants done meanwhile."""

    def __init__(self, margin: float = 0.0, seconds: float = 0.0) -> None:
        super().__init__()
        self.weights = torch.linspace(-1, 1, 3 * 4 * 4)
        self.bias = margin * float(self.weights.norm()) - float(self.weights.sum()) / 2
        self.seconds = seconds
        self.rows = 0

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(self.seconds)
        self.rows += len(inputs)
        mean, std = torch.tensor([0.5, 0.4, 0.45]).view(3, 1, 1), torch.tensor([0.25, 0.2, 0.3]).view(3, 1, 1)
        margins = (inputs * std + mean).flatten(1) @ self.weights + self.bias
        return torch.stack([torch.zeros_like(margins), margins], dim=1)


GREY = torch.full((3, 4, 4), 0.5)


def linear(margin: float = 0.0, seconds: float = 0.0) -> tuple[Classifier, Linear]:
    """A model whose boundary has the L2 distance `margin` from the grey picture, on the side of class 1."""
    layer = Linear(margin, seconds)
    classifier = classifier_of(network_of(layer))
    classifier.model.labels.extend(["cat", "dog"])
    return classifier, layer


def subject(classifier: Classifier, picture: Tensor = GREY) -> Subject:
    return Subject(picture, v1.View(), classifier.serve(picture[None])[0], None)


def options(samples: int = 1000, sigma: float = SIGMA) -> v1.CertifiedOptions:
    return v1.CertifiedOptions(sigma=sigma, samples=samples, alpha=ALPHA)


def certified(
    classifier: Classifier,
    wanted: v1.CertifiedOptions,
    picture: Tensor = GREY,
    seed: int = 0,
) -> tuple[v1.Certified, int]:
    """The certificate, and the pieces of work that it took."""
    drawn = v1.Smoothing()
    for pieces in range(1, 100_000):
        part = v1.Certified()
        piece = smoothing.certify(part, drawn, classifier, subject(classifier, picture), wanted, seed, Passes(Limits()))
        task = Task(piece, Limits())
        run(classifier, [task])
        assert isinstance(task.outcome, bool), task.outcome
        if task.outcome:
            return part, pieces
    raise AssertionError


def test_the_radius_of_a_linear_model_is_its_distance_from_the_boundary() -> None:
    """Under the noise its class has the probability Phi(margin / sigma): the true radius is the margin itself."""
    margin = 0.4
    classifier, _ = linear(margin)
    radii = []
    for seed in range(30):
        part, _ = certified(classifier, options(500), seed=seed)
        assert (part.state, part.class_index, part.class_label) == ("certified", 1, "dog")
        radii.append(part.radius)
    assert max(radii) <= margin
    assert len(set(radii)) > 10
    # The bound lies about 3 standard errors of the count below the truth.
    assert min(radii) > 0.5 * margin


def test_more_samples_come_nearer_to_the_truth() -> None:
    margin = 0.25
    classifier, _ = linear(margin)
    excess = [1 - certified(classifier, options(samples))[0].radius / margin for samples in (100, 1000, 10_000)]
    assert excess == sorted(excess, reverse=True)
    assert 0 < excess[-1] < 0.06


def test_no_radius_beyond_what_the_samples_can_prove() -> None:
    classifier, _ = linear(100.0)
    part, _ = certified(classifier, options(100))
    assert (part.count, part.samples, part.wanted_samples, part.stopped_by) == (100, 100, 100, "")
    assert part.radius == pytest.approx(SIGMA * norm.ppf(ALPHA ** (1 / 100)))


def test_at_the_boundary_it_abstains() -> None:
    classifier, _ = linear(0.0)
    for seed in range(10):
        part, _ = certified(classifier, options(200), seed=seed)
        assert part.state == "abstained"
        assert not part.HasField("radius")
        assert part.class_label in ("cat", "dog")
        assert part.probability_lower_bound == smoothing.lower_bound(part.count, 200, ALPHA) <= 0.5


def test_the_draws_that_choose_are_not_those_that_estimate() -> None:
    classifier, layer = linear(0.1)
    layer.rows = 0
    part, _ = certified(classifier, options(150))
    assert part.samples == 150
    assert layer.rows - 1 == smoothing.SELECTION_DRAWS + 150  # and one look at the picture
    margins = [
        float((GREY + SIGMA * smoothing.noise(0, draw, GREY.shape)).flatten() @ layer.weights) + layer.bias
        for draw in range(smoothing.SELECTION_DRAWS + 150)
    ]
    classes = [margin > 0 for margin in margins]
    assert part.class_index == (sum(classes[: smoothing.SELECTION_DRAWS]) > smoothing.SELECTION_DRAWS / 2)
    assert part.count == sum(one == part.class_index for one in classes[smoothing.SELECTION_DRAWS :])


@pytest.mark.parametrize("batch", [1, 7, 16, 1000])
@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_how_the_work_is_cut_makes_no_difference(monkeypatch: pytest.MonkeyPatch, batch: int, seconds: float) -> None:
    classifier, _ = linear(0.3)
    whole, _ = certified(classifier, options(300), seed=3)
    monkeypatch.setattr(smoothing, "_BATCH", batch)
    # Without time, a piece ends after its first batch.
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", seconds)
    part, pieces = certified(classifier, options(300), seed=3)
    assert part == whole
    assert pieces == (1 if seconds else math.ceil(400 / batch))


def together(classifier: Classifier, pictures: Sequence[Tensor]) -> list[v1.Certified]:
    parts = [v1.Certified() for _ in pictures]
    tasks = [
        Task(
            smoothing.certify(
                part, v1.Smoothing(), classifier, subject(classifier, picture), options(200), 5, Passes(Limits())
            ),
            Limits(),
        )
        for part, picture in zip(parts, pictures, strict=True)
    ]
    run(classifier, tasks)
    assert [task.outcome for task in tasks] == [True] * len(tasks)
    return parts


def test_alone_or_in_a_batch_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 60.0)
    classifier, _ = linear(0.1)
    pictures = [
        GREY,
        GREY * torch.linspace(0.9, 1.1, 4),
        GREY,
        GREY * torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)),
    ]
    batch = together(classifier, pictures)
    assert batch == [together(classifier, [picture])[0] for picture in pictures]
    assert batch[0] == batch[2] != batch[1]


def test_seeds_differ_and_repeat() -> None:
    classifier, _ = linear(0.1)
    counts = [certified(classifier, options(500), seed=seed)[0].count for seed in (0, 1, 4, 5, 0)]
    assert counts[0] == counts[4]
    assert len(set(counts)) >= 3


def test_what_is_not_finite_is_of_no_class() -> None:
    """A network that breaks down on all that is redder than the picture, which half of the draws are."""
    classifier, layer = linear(10.0)
    answer = layer.forward

    def break_down(inputs: Tensor) -> Tensor:
        # Red is normalised by (x - 0.5) / 0.25, so that it is 0 in the grey picture.
        redder = inputs[:, 0].mean(dim=(1, 2)) > 1e-6
        return answer(inputs) + torch.where(redder, float("nan"), 0.0)[:, None]

    layer.forward = break_down  # type: ignore[method-assign]
    part, _ = certified(classifier, options(500))
    assert (part.class_index, part.state) == (1, "abstained")
    assert part.count == pytest.approx(part.samples / 2, abs=5 * math.sqrt(part.samples) / 2)


def test_without_any_finite_output_there_is_no_class() -> None:
    classifier, layer = linear(10.0)
    looked = subject(classifier)
    layer.bias = float("nan")
    task = Task(
        smoothing.certify(v1.Certified(), v1.Smoothing(), classifier, looked, options(500), 0, Passes(Limits())),
        Limits(),
    )
    run(classifier, [task])
    assert isinstance(task.outcome, FailedPreconditionError)
    assert task.outcome.reason == "NOT_FINITE"


def attempt(classifier: Classifier, limits: Limits, drawn: v1.Smoothing) -> tuple[v1.Certified, object]:
    part = v1.Certified()
    piece = smoothing.certify(part, drawn, classifier, subject(classifier), options(100_000), 0, Passes(limits))
    task = Task(piece, limits)
    run(classifier, [task])
    return part, task.outcome


def test_the_deadline_ends_it_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 60.0)
    classifier, _ = linear(0.5, seconds=0.002)
    deadline = time.time() + 0.6
    drawn = v1.Smoothing()
    part, outcome = attempt(classifier, Limits(deadline), drawn)
    assert time.time() < deadline
    assert outcome is True
    assert (part.state, part.stopped_by) == ("certified", "deadline")
    assert 0 < part.samples == drawn.drawn - smoothing.SELECTION_DRAWS < part.wanted_samples
    assert part.probability_lower_bound == smoothing.lower_bound(part.count, part.samples, ALPHA)
    # As valid as a certificate for which so many were asked.
    whole, _ = certified(classifier, options(part.samples))
    assert (whole.radius, whole.count) == (part.radius, part.count)


def test_without_a_class_there_is_no_certificate() -> None:
    classifier, _ = linear(0.5, seconds=0.02)
    _, outcome = attempt(classifier, Limits(time.time() + 0.3), v1.Smoothing())
    assert isinstance(outcome, DeadlineExceededError)


def test_a_class_without_samples_abstains() -> None:
    classifier, _ = linear(0.5)
    drawn = v1.Smoothing(drawn=smoothing.SELECTION_DRAWS, selection={1: 60, 0: 40})
    part = v1.Certified()
    passes = Passes(Limits(time.time() + 0.01))
    passes._seconds_per_row = 1.0
    piece = smoothing.certify(part, drawn, classifier, subject(classifier), options(), 0, passes)
    task = Task(piece, Limits())
    run(classifier, [task])
    assert task.outcome is True
    assert (part.state, part.samples, part.class_label, part.stopped_by) == ("abstained", 0, "dog", "deadline")


def test_a_piece_ends_after_its_time_and_tells_what_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 0.0)
    classifier, _ = linear(0.5)
    drawn = v1.Smoothing()
    states = []
    for _ in range(10):
        part, outcome = attempt(classifier, Limits(), drawn)
        assert outcome is False
        states.append((part.state, part.samples))
    # 16 draws each; what is proven is told before the end, for an end that comes early.
    assert states[:6] == [("running", 0)] * 6
    assert states[6:] == [("certified", 12), ("certified", 28), ("certified", 44), ("certified", 60)]


def test_of_equally_frequent_classes_the_first_is_chosen() -> None:
    classifier, _ = linear(100.0)
    drawn = v1.Smoothing(drawn=smoothing.SELECTION_DRAWS, selection={1: 50, 0: 50})
    part = v1.Certified()
    task = Task(
        smoothing.certify(part, drawn, classifier, subject(classifier), options(100), 0, Passes(Limits())), Limits()
    )
    run(classifier, [task])
    assert (part.class_label, part.count, part.state) == ("cat", 0, "abstained")


def test_work_ends_within_a_batch_when_the_caller_is_gone(tmp_path: Path) -> None:
    lease = tmp_path / "picture"
    lease.touch()
    classifier, layer = linear(0.5)
    looked = subject(classifier)
    drawn, part = v1.Smoothing(), v1.Certified()
    layer.rows = 0
    task = Task(
        smoothing.certify(part, drawn, classifier, looked, options(100_000), 0, Passes(Limits(lease=lease))),
        Limits(lease=lease),
    )
    forward = layer.forward

    def leaving(inputs: Tensor) -> Tensor:
        if layer.rows >= 40:
            lease.unlink(missing_ok=True)
        return forward(inputs)

    layer.forward = leaving  # type: ignore[method-assign]
    run(classifier, [task])
    assert isinstance(task.outcome, CancelledError)
    assert layer.rows <= 48
