"""Maps whose evidence lies at the border of the view, and maps that do not tell."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures import classifier_of, network_of
from explaining import subject_of
from whybox import v1
from whybox_handlers.explanations.borders import decides_by_border
from whybox_handlers.explanations.explainers import EXPLAINERS, Attribution, Question
from whybox_handlers.explanations.explaining import explain
from whybox_handlers.models.case import Case
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one

SIDE, BORDER = 64, 9
ANSWER = 1


def inside(value: float, around: float, side: int = SIDE, border: int = BORDER) -> Tensor:
    """[side, side]: one value in the centre, another one around it."""
    values = torch.full((side, side), float(around))
    values[border : side - border, border : side - border] = value
    return values


def observed(values: Tensor, units: str = "logit", **part: Any) -> v1.Observation:
    picture = torch.zeros(3, SIDE, SIDE)
    question = Question(picture, torch.eye(3)[ANSWER], torch.eye(3)[ANSWER], None)
    explanation = v1.Explanation(**{"target_class": ANSWER, "target_label": "dog", **part})
    return decides_by_border(explanation, question, Attribution(values, units, signed=True), ANSWER)


def share(values: Tensor) -> float:
    """By hand: evidence outside of the middle 46 x 46 pixels, which are 52 % of the view."""
    around = float(values.sum() - values[BORDER : SIDE - BORDER, BORDER : SIDE - BORDER].sum())
    return around / float(values.sum())


@pytest.mark.parametrize(
    ("values", "value", "state"),
    [
        (inside(1, 0), 0.0, "not_noted"),
        (inside(0, 1), 1.0, "noted"),
        # Nearly even.
        (inside(1, 1.01), share(inside(1, 1.01)), "not_noted"),
        (inside(1, 3), share(inside(1, 3)), "noted"),
        # What speaks against the answer is no evidence for it.
        (inside(1, -5), 0.0, "not_noted"),
        (inside(-5, 1), 1.0, "noted"),
        # Channels are summed first: in the centre they cancel.
        (torch.stack([inside(1, 1), inside(-1, 0), inside(0, 0)]), 1.0, "noted"),
        # A map of cells is spread over the view: the outermost of four rows lie outside of the centre.
        (inside(0, 1, 16, 2), 1.0, "noted"),
    ],
)
def test_where_the_evidence_lies(values: Tensor, value: float, state: str) -> None:
    found = observed(values)
    assert (found.kind, found.state) == ("decides_by_border", state)
    assert found.value == pytest.approx(value, abs=0.06 if len(values) == 16 else 1e-6)
    assert not found.HasField("n")
    assert found.message == f"{100 * found.value:.0f} % of the evidence for 'dog' lies in the outer half of the view"


def test_the_sign_of_a_gradient_does_not_count() -> None:
    values = torch.stack([inside(-4, 1), inside(4, 1), inside(0, 1)])
    assert observed(values, "logit per pixel value").value == pytest.approx(share(inside(8, 3)))
    assert observed(values, "logit").value == 1


@pytest.mark.parametrize("turned", [lambda values: values, torch.fliplr, torch.flipud, torch.t])
def test_no_side_is_special(turned: Callable[[Tensor], Tensor]) -> None:
    values = torch.zeros(SIDE, SIDE)
    values[:BORDER, 5:50] = 1
    assert observed(turned(values)).value == 1


@pytest.mark.parametrize(
    ("method", "around"), [(method, around) for method in ("integrated_gradients", "occlusion") for around in (0, 1)]
)
def test_a_network_that_reads_the_border_or_the_centre(method: str, around: int) -> None:
    """The class is how bright one of both is."""
    weights = torch.stack([torch.zeros(3, SIDE, SIDE), inside(1 - around, around).expand(3, -1, -1)]).flatten(1)
    reads = nn.Linear(3 * SIDE * SIDE, 2, bias=False)
    reads.weight.data = weights
    classifier = classifier_of(network_of(nn.Flatten(1), reads))
    classifier.model.labels.extend(["dark", "bright"])
    subject = subject_of(classifier, torch.full((3, SIDE, SIDE), 0.75))
    options = EXPLAINERS[method].defaults(method, baseline="black")
    case = Case(classifier, subject)
    [found] = run_one(classifier, explain(case, options, Passes(Limits()))).part.observations
    assert found.state == ("noted" if around else "not_noted")


RELIABLE, DOUBTFUL = v1.Quality(reliable=True), v1.Quality(reasons=["it is no better than chance"])


@pytest.mark.parametrize(
    ("values", "part", "words"),
    [
        (torch.ones(SIDE, SIDE), {}, "the map has the same value everywhere"),
        (torch.zeros(3, SIDE, SIDE), {}, "the map has the same value everywhere"),
        (torch.full((7, 7), 1 / 3), {}, "the map has the same value everywhere"),
        (inside(-1, -2), {}, "nothing in the map speaks for the answer"),
        (inside(0, 1), {"target_class": 2}, "the map does not explain the answer alone"),
        (inside(0, 1), {"contrast_class": 0}, "the map does not explain the answer alone"),
        (inside(0, 1), {"quality": DOUBTFUL}, "the map is not reliable; see its quality"),
    ],
)
def test_a_map_that_does_not_tell_says_why(values: Tensor, part: dict[str, Any], words: str) -> None:
    found = observed(values, **part)
    assert (found.state, found.message) == ("not_measured", words)
    assert not any(found.HasField(field) for field in ("value", "threshold", "n"))


def test_a_reliable_map_tells() -> None:
    assert observed(inside(0, 1), quality=RELIABLE).state == "noted"
