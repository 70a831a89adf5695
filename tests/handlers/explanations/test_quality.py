"""Quality: each measurement against a plain loop or a closed form, and the verdict on it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_pictures
from explaining import question_of
from whybox import v1
from whybox.v1.vocabulary import CURVE_STEPS
from whybox_handlers.explanations.baselines import blur
from whybox_handlers.explanations.explainers import (
    EXPLAINERS,
    Attribution,
    Explainer,
    Question,
)
from whybox_handlers.explanations.maps.ranks import rank_correlation
from whybox_handlers.explanations.quality import measure_quality
from whybox_handlers.explanations.quality.curves import (
    CURVE_EVALUATIONS,
    deletion,
    insertion,
)
from whybox_handlers.explanations.quality.infidelity import infidelity
from whybox_handlers.explanations.quality.verdict import objections
from whybox_handlers.explanations.substitutes import substitute
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Passes, StoppedBy
from whybox_handlers.passes.scheduler import run_one

SIDE = 8
PIXELS = SIDE * SIDE
EVERYTHING = ("deletion", "insertion", "infidelity", "sensitivity", "stability")


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return random_pictures(1, SIDE)[0]


@pytest.fixture(scope="module")
def curved() -> Classifier:
    torch.manual_seed(0)
    return classifier_of(network_of(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(1), nn.Linear(6 * 36, 3)))


@pytest.fixture(scope="module")
def linear() -> Classifier:
    torch.manual_seed(0)
    return classifier_of(network_of(nn.Flatten(1), nn.Linear(3 * PIXELS, 3)))


def gradient_of(classifier: Classifier, question: Question) -> Tensor:
    inputs = question.picture[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad((classifier.network(inputs) @ question.objective).sum(), inputs)
    return gradient[0]


def logit_map(values: Tensor) -> Attribution:
    return Attribution(values, "logit", signed=True)


def measured(
    classifier: Classifier, row: Explainer, question: Question, attribution: Attribution, *names: str
) -> v1.Quality:
    options = v1.ExplanationOptions(quality=names, tolerance=question.options.tolerance)
    asked = replace(question, options=options)
    return run_one(classifier, measure_quality(row, asked, attribution, Passes(Limits())))


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("curve", [deletion, insertion])
def test_curves_by_plain_loops(curve: Any, contrast: bool, curved: Classifier, picture: Tensor) -> None:
    question = question_of(curved, picture, 1, torch.full_like(picture, 0.5))
    if contrast:
        question = replace(question, objective=torch.tensor([-1.0, 1.0, 0.0]))
    values = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    found = run_one(curved, curve(Passes(Limits()), question, logit_map(values)))

    order = sorted(range(PIXELS), key=lambda pixel: -float(values.flatten()[pixel]))
    expected = []
    for step in range(CURVE_STEPS + 1):
        mixed = (picture if curve is deletion else question.baselines[0]).clone()
        for pixel in order[: round(step / CURVE_STEPS * PIXELS)]:
            row, column = divmod(pixel, SIDE)
            mixed[:, row, column] = (question.baselines[0] if curve is deletion else picture)[:, row, column]
        logits = curved.serve(mixed[None])[0].double()
        odds = logits.exp() if not contrast else logits[:2].exp()
        expected.append(float(odds[1] / odds.sum()))
    np.testing.assert_allclose(found.fractions, np.arange(CURVE_STEPS + 1) / CURVE_STEPS, atol=1e-7)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert found.auc == pytest.approx(np.trapezoid(expected, dx=1 / CURVE_STEPS), abs=1e-6)


@pytest.mark.parametrize(("importance", "area"), [(1.0, 0.5 / CURVE_STEPS), (-1.0, 1 - 0.5 / CURVE_STEPS)])
def test_area_of_a_step(importance: float, area: float) -> None:
    """One pixel decides: the probability falls with the first share of the pixels, or with the last."""
    head = nn.Linear(3 * PIXELS, 2)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.weight[1, 10] = 1000
    classifier = classifier_of(network_of(nn.Flatten(1), head))
    white, black = torch.ones(3, SIDE, SIDE), torch.zeros(3, SIDE, SIDE)
    values = torch.zeros(SIDE, SIDE)
    values[1, 2] = importance  # pixel 10
    attribution = logit_map(values)
    found = run_one(classifier, deletion(Passes(Limits()), question_of(classifier, white, 1, black), attribution))
    assert found.auc == pytest.approx(area)
    found = run_one(classifier, insertion(Passes(Limits()), question_of(classifier, white, 1, black), attribution))
    assert found.auc == pytest.approx(1 - area)


def test_a_map_without_places_is_as_good_as_random(curved: Classifier, picture: Tensor) -> None:
    question = question_of(curved, picture, 1)
    found = run_one(curved, deletion(Passes(Limits()), question, logit_map(torch.ones(SIDE, SIDE))))
    assert found.auc == pytest.approx(found.random_auc)


@pytest.mark.parametrize(
    "perfect",
    [
        lambda gradient, _: Attribution(gradient, "logit per pixel value", signed=True),
        lambda gradient, change: Attribution(gradient * change, "logit", signed=True),
        lambda gradient, change: Attribution(7 * (gradient * change).sum(dim=0), "relative", signed=True),
    ],
)
def test_a_perfect_map_of_a_linear_network_is_faithful(perfect: Any, linear: Classifier, picture: Tensor) -> None:
    question = question_of(linear, picture, 1, torch.rand_like(picture))
    attribution = perfect(gradient_of(linear, question), picture - question.baselines[0])
    found = run_one(linear, infidelity(Passes(Limits()), question, attribution))
    assert found is not None
    assert found.of_map == pytest.approx(0, abs=1e-9)
    assert 0.1 < found.at_random <= 1
    turned = run_one(linear, infidelity(Passes(Limits()), question, replace(attribution, values=-attribution.values)))
    assert turned is not None
    assert turned.of_map == 1


def test_a_uniform_map_is_as_faithful_anywhere(curved: Classifier, picture: Tensor) -> None:
    question = question_of(curved, picture, 1)
    found = run_one(curved, infidelity(Passes(Limits()), question, logit_map(torch.full((3, SIDE, SIDE), 2.0))))
    assert found is not None
    assert found.of_map == pytest.approx(found.of_uniform) == pytest.approx(found.at_random)


def test_the_gradient_of_a_linear_network_stays(linear: Classifier, picture: Tensor) -> None:
    question = replace(question_of(linear, picture, 1), baselines=())
    attribution = Attribution(gradient_of(linear, question).abs(), "logit per pixel value", signed=False)
    part = measured(linear, EXPLAINERS["saliency"], question, attribution, "sensitivity", "stability")
    assert part.sensitivity == pytest.approx(0, abs=1e-6)
    assert part.stability.rank_correlation == pytest.approx(1)
    assert part.stability.top_overlap == 1
    # Four changed pictures and a rounded one; each is looked at, and differentiated.
    assert (part.forward_evaluations, part.gradient_evaluations) == (10, 5)


def repeated(stopped_by: StoppedBy = "done", factor: float = 1.0) -> Explainer:
    """A method whose map is the picture itself."""

    async def explain(_: Passes, question: Question) -> Attribution:
        return Attribution(factor * question.picture, "relative", signed=True, stopped_by=stopped_by)

    return Explainer(explain, "", "")


def test_a_map_that_is_the_picture_changes_as_the_picture(linear: Classifier, picture: Tensor) -> None:
    question = question_of(linear, picture, 1)
    part = measured(linear, repeated(), question, logit_map(picture), "sensitivity", "stability")
    # Noise is uniform within 2 %, its root mean square so at most 0.02 / sqrt(3), about.
    assert part.sensitivity == pytest.approx(0.02 / 3**0.5 / float(picture.square().mean().sqrt()), rel=0.2)
    assert 0.99 < part.stability.rank_correlation < 1


def test_maps_cut_short_by_the_deadline_are_not_compared(linear: Classifier, picture: Tensor) -> None:
    part = measured(
        linear, repeated("deadline"), question_of(linear, picture, 1), logit_map(picture), "sensitivity", "stability"
    )
    assert not part.HasField("sensitivity")
    assert not part.HasField("stability")
    assert list(part.reasons) == [
        "the deadline left no time to measure sensitivity",
        "the deadline left no time to measure stability",
    ]


def test_only_what_is_asked_for_is_measured_and_charged(linear: Classifier, picture: Tensor) -> None:
    question = question_of(linear, picture, int(linear.serve(picture[None]).argmax()))
    attribution = logit_map(gradient_of(linear, question) * picture)
    part = measured(linear, EXPLAINERS["integrated_gradients"], question, attribution, "deletion")
    assert {field.name for field, _ in part.ListFields()} == {"reliable", "deletion", "forward_evaluations"}
    assert part.forward_evaluations == CURVE_EVALUATIONS


def test_a_perfect_map_is_reliable(linear: Classifier, picture: Tensor) -> None:
    question = question_of(linear, picture, int(linear.serve(picture[None]).argmax()))
    attribution = logit_map(gradient_of(linear, question) * picture)
    part = measured(linear, EXPLAINERS["input_x_gradient"], question, attribution, *EVERYTHING)
    assert part.reliable, part.reasons
    assert part.deletion.auc < part.deletion.random_auc
    assert part.insertion.auc > part.insertion.random_auc


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_map_is_not_reliable(value: float, linear: Classifier, picture: Tensor) -> None:
    async def explain(*_: object) -> Attribution:
        return logit_map(torch.full((2, 2), value))

    question = question_of(linear, picture, 1)
    part = measured(linear, Explainer(explain, "", ""), question, logit_map(torch.full((2, 2), value)), *EVERYTHING)
    assert not part.reliable
    assert "the map has the same value everywhere, so it points at nothing" in part.reasons
    assert part.stability.rank_correlation == 0


def test_a_picture_that_is_its_own_baseline(linear: Classifier) -> None:
    grey = torch.full((3, SIDE, SIDE), 0.5)
    question = replace(question_of(linear, grey, 1), baselines=(grey,))
    part = measured(linear, repeated(), question, logit_map(random_pictures(1, SIDE)[0]), "deletion", "infidelity")
    assert not part.HasField("infidelity")
    assert not part.reliable
    assert "infidelity cannot be measured: no change of the picture changed the logit" in part.reasons


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (v1.Quality(deletion=v1.Curve(auc=0.2, random_auc=0.3)), ""),
        (v1.Quality(deletion=v1.Curve(auc=0.3, random_auc=0.3)), "deletion area 0.300 against 0.300"),
        (v1.Quality(insertion=v1.Curve(auc=0.4, random_auc=0.3)), ""),
        (v1.Quality(insertion=v1.Curve(auc=0.2, random_auc=0.3)), "insertion area 0.200 against 0.300"),
        (v1.Quality(infidelity=0.5, random_infidelity=0.6), ""),
        (v1.Quality(infidelity=0.6, random_infidelity=0.6), "infidelity 0.600 against 0.600"),
        (v1.Quality(sensitivity=1.0), ""),
        (v1.Quality(sensitivity=1.25), "1.25 times its size"),
        (v1.Quality(stability=v1.Stability(rank_correlation=0.7, top_overlap=0.5)), ""),
        (v1.Quality(stability=v1.Stability(rank_correlation=0.69, top_overlap=0.5)), "rank correlation 0.69"),
        (v1.Quality(stability=v1.Stability(rank_correlation=0.7, top_overlap=0.4)), "leaves 40% of the map's"),
    ],
)
def test_verdict(part: v1.Quality, words: str, picture: Tensor) -> None:
    found = list(objections(part, repeated(), QUESTION, logit_map(picture), ()))
    assert len(found) == bool(words)
    assert all(words in reason for reason in found)


QUESTION = Question(torch.zeros(3, SIDE, SIDE), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 10.0]), None)


@pytest.mark.parametrize(
    ("attribution", "tolerance", "words"),
    [
        ({"residual": 0.05}, 0.05, ""),
        ({"residual": 0.06, "stopped_by": "evaluations"}, 0.05, "(evaluations) with a residual of 6.0%"),
        # All was to be spent; the method's own tolerance, 5 %, is the measure then.
        ({"residual": 0.06}, 0.0, "above its tolerance of 5.0%"),
        ({"residual": float("nan")}, 0.05, "residual of nan"),
        ({"complete": True, "baseline_value": 4.5}, 0.0, ""),
        ({"complete": True, "baseline_value": 2.0}, 0.0, "by 3 of 8 (more than 10%)"),
    ],
)
def test_incomplete_maps(attribution: dict[str, Any], tolerance: float, words: str) -> None:
    values = torch.tensor([[5.0, 0.0], [0.0, 0.0]])
    found = list(
        objections(
            v1.Quality(),
            replace(repeated(), default_tolerance=0.05),
            replace(QUESTION, options=v1.ExplanationOptions(tolerance=tolerance)),
            Attribution(values, "logit", True, **attribution),
            (),
        )
    )
    assert len(found) == bool(words)
    assert all(words in reason for reason in found)


def test_what_takes_the_place_of_what_is_taken_away(picture: Tensor) -> None:
    assert substitute(QUESTION).equal(QUESTION.picture)
    torch.testing.assert_close(substitute(replace(QUESTION, picture=picture)), blur(picture))
    black, white = torch.zeros_like(picture), torch.ones_like(picture)
    assert substitute(replace(QUESTION, baselines=(black, white))).equal(torch.full_like(picture, 0.5))


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlation_is_scipys(levels: int) -> None:
    one, other = torch.randint(levels, (2, 5, 7), generator=torch.Generator().manual_seed(0)).float()
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.flatten(), other.flatten()).statistic)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, torch.ones(5, 7)) == 0
