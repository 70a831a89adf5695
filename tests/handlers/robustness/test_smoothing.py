"""Certificates: the statistics against scipy, the radius against the closed form of a linear model."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from architectures import classifier_of, network_of
from clocks import Clock, Slow
from explaining import subject_of
from whybox import v1
from whybox.v1.errors import CancelledError, DeadlineExceededError, FailedPreconditionError
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import Task, run
from whybox_handlers.robustness import smoothing
from whybox_handlers.robustness.draws import SELECTION_DRAWS, Draws
from whybox_handlers.robustness.smoothing import Piece, certify

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
    """Two classes whose logits differ by w . x + b for pixel values x."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.weights = torch.linspace(-1, 1, 3 * 4 * 4)
        self.bias = margin * float(self.weights.norm()) - float(self.weights.sum()) / 2
        self.rows = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.rows += len(inputs)
        mean, std = torch.tensor([0.5, 0.4, 0.45]).view(3, 1, 1), torch.tensor([0.25, 0.2, 0.3]).view(3, 1, 1)
        margins = (inputs * std + mean).flatten(1) @ self.weights + self.bias
        return torch.stack([torch.zeros_like(margins), margins], dim=1)


GREY = torch.full((3, 4, 4), 0.5)


def linear(margin: float = 0.0, *before: nn.Module) -> tuple[Classifier, Linear]:
    """A model whose boundary has the L2 distance `margin` from the grey picture, on the side of class 1."""
    layer = Linear(margin)
    classifier = classifier_of(network_of(*before, layer))
    classifier.model.labels.extend(["cat", "dog"])
    return classifier, layer


def options(samples: int = 1000, sigma: float = SIGMA) -> v1.CertifiedOptions:
    return v1.CertifiedOptions(sigma=sigma, samples=samples, alpha=ALPHA)


def begun(
    case: Case, wanted: v1.CertifiedOptions, draws: Draws | None = None, limits: Limits | None = None
) -> Task[Piece]:
    """One piece of work, done."""
    limits = limits or Limits()
    task = Task(certify(case, wanted, Passes(limits), draws or Draws()), limits)
    run(case.classifier, [task])
    return task


def certified(
    classifier: Classifier, wanted: v1.CertifiedOptions, picture: Tensor = GREY, seed: int = 0
) -> tuple[v1.Certified, int]:
    """The certificate, and the number of pieces of work that it took; draws travel between them as bytes."""
    case, resume = Case(classifier, subject_of(classifier, picture), seed), b""
    for pieces in range(1, 100_000):
        piece = begun(case, wanted, Draws.from_bytes(resume)).result()
        if piece.final:
            return piece.part, pieces
        resume = piece.draws.to_bytes()
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
    assert layer.rows - 1 == SELECTION_DRAWS + 150  # and one look at the picture
    margins = [
        float((GREY + SIGMA * smoothing.noise(0, draw, GREY.shape)).flatten() @ layer.weights) + layer.bias
        for draw in range(SELECTION_DRAWS + 150)
    ]
    classes = [margin > 0 for margin in margins]
    assert part.class_index == (sum(classes[:SELECTION_DRAWS]) > SELECTION_DRAWS / 2)
    assert part.count == sum(one == part.class_index for one in classes[SELECTION_DRAWS:])


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


def together(classifier: Classifier, pictures: Sequence[Tensor]) -> list[Piece]:
    cases = [Case(classifier, subject_of(classifier, picture), 5) for picture in pictures]
    tasks = [Task(certify(case, options(200), Passes(Limits()), Draws()), Limits()) for case in cases]
    run(classifier, tasks)
    pieces = [task.result() for task in tasks]
    assert all(piece.final for piece in pieces)
    return pieces


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


def test_what_is_not_finite_is_of_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that breaks down on all that is redder than the picture, which half of the draws are."""
    classifier, layer = linear(10.0)
    answer = layer.forward

    def break_down(inputs: Tensor) -> Tensor:
        # Red is normalised by (x - 0.5) / 0.25, so that it is 0 in the grey picture.
        redder = inputs[:, 0].mean(dim=(1, 2)) > 1e-6
        return answer(inputs) + torch.where(redder, float("nan"), 0.0)[:, None]

    monkeypatch.setattr(layer, "forward", break_down)
    part, _ = certified(classifier, options(500))
    assert (part.class_index, part.state) == (1, "abstained")
    assert part.count == pytest.approx(part.samples / 2, abs=5 * math.sqrt(part.samples) / 2)


def test_without_any_finite_output_there_is_no_class() -> None:
    classifier, layer = linear(10.0)
    case = Case(classifier, subject_of(classifier, GREY))
    layer.bias = float("nan")
    outcome = begun(case, options(500)).outcome
    assert isinstance(outcome, FailedPreconditionError)
    assert outcome.reason == "NOT_FINITE"


def slow(seconds: float) -> tuple[Case, Clock]:
    """A case whose network takes this time for each row, and the clock that tells it."""
    clock = Clock()
    classifier, _ = linear(0.5, Slow(clock, seconds))
    return Case(classifier, subject_of(classifier, GREY)), clock


def test_the_deadline_ends_it_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 60.0)
    case, clock = slow(0.0005)
    limits = clock.limits(0.6)
    part, draws, final, so_far = begun(case, options(100_000), limits=limits).result()
    assert limits.seconds_left() > 0
    assert final
    assert so_far is None
    assert (part.state, part.stopped_by) == ("certified", "deadline")
    assert 900 < part.samples == draws.drawn - SELECTION_DRAWS < part.wanted_samples
    assert part.probability_lower_bound == smoothing.lower_bound(part.count, part.samples, ALPHA)
    # As valid as a certificate from as many draws that was asked for.
    whole, _ = certified(case.classifier, options(part.samples))
    assert (whole.radius, whole.count) == (part.radius, part.count)


def test_without_a_class_there_is_no_certificate() -> None:
    case, clock = slow(0.01)
    assert isinstance(begun(case, options(100_000), limits=clock.limits(0.3)).outcome, DeadlineExceededError)


def test_a_class_without_samples_abstains() -> None:
    case, clock = slow(1.0)
    draws = Draws(SELECTION_DRAWS, Counter({1: 60, 0: 40}))
    passes = Passes(clock.limits(1.04))
    run(case.classifier, [Task(passes.logits(GREY[None]), Limits())])
    task = Task(certify(case, options(), passes, draws), Limits())
    run(case.classifier, [task])
    part = task.result().part
    assert task.result().final
    assert (part.state, part.samples, part.class_label, part.stopped_by) == ("abstained", 0, "dog", "deadline")


def test_a_piece_ends_after_its_time() -> None:
    """Of 20 ms a row, a second is over after the fourth batch of 16."""
    case, clock = slow(0.02)
    piece = begun(case, options(100_000), limits=clock.limits(600)).result()
    assert (piece.final, piece.draws.drawn) == (False, 4 * 16)


def test_a_piece_tells_what_it_proves_only_for_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "_PIECE_SECONDS", 0.0)
    case, _ = slow(0.0)
    draws = Draws()
    seen, proven = [], []
    for _ in range(10):
        part, draws, final, so_far = begun(case, options(100_000), draws).result()
        assert not final
        assert part.state == "running"
        # A caller who chose the end by them would not have their confidence.
        assert not part.HasField("radius")
        assert (part.probability_lower_bound, part.stopped_by) == (0, "")
        assert (part.sigma, part.alpha, part.wanted_samples) == (SIGMA, ALPHA, 100_000)
        seen.append((part.class_label, part.samples, part.count))
        proven.append(so_far and (so_far.state, so_far.samples, so_far.stopped_by))
    # 16 draws each; the first 100 choose the class.
    assert seen[:6] == [("", 0, 0)] * 6
    assert [(label, samples) for label, samples, _ in seen[6:]] == [("dog", 12), ("dog", 28), ("dog", 44), ("dog", 60)]
    assert proven[:6] == [None] * 6
    assert proven[6:] == [("certified", samples, "deadline") for samples in (12, 28, 44, 60)]


def test_of_equally_frequent_classes_the_first_is_chosen() -> None:
    classifier, _ = linear(100.0)
    draws = Draws(SELECTION_DRAWS, Counter({1: 50, 0: 50}))
    part = begun(Case(classifier, subject_of(classifier, GREY)), options(100), draws).result().part
    assert (part.class_label, part.count, part.state) == ("cat", 0, "abstained")


@pytest.mark.parametrize("draws", [Draws(), Draws(7, Counter({3: 5})), Draws(150, Counter({0: 60, 999: 38}), 44)])
def test_draws_travel_as_bytes(draws: Draws) -> None:
    assert Draws.from_bytes(draws.to_bytes()) == draws


def test_without_bytes_nothing_was_drawn() -> None:
    assert Draws.from_bytes(b"") == Draws()


def test_work_ends_within_a_batch_when_the_caller_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = tmp_path / "picture"
    lease.touch()
    classifier, layer = linear(0.5)
    case = Case(classifier, subject_of(classifier, GREY))
    layer.rows = 0
    forward = layer.forward

    def leaving(inputs: Tensor) -> Tensor:
        if layer.rows >= 40:
            lease.unlink(missing_ok=True)
        return forward(inputs)

    monkeypatch.setattr(layer, "forward", leaving)
    assert isinstance(begun(case, options(100_000), limits=Limits(lease=lease)).outcome, CancelledError)
    assert layer.rows <= 48
