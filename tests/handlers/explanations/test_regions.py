"""Regions: against all sets of superpixels, on networks so small that they can be enumerated."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from architectures import classifier_of, network_of, random_pictures
from explaining import question_of, subject_of
from whybox import v1
from whybox_handlers.explanations import regions
from whybox_handlers.explanations.explainers import Attribution, Question
from whybox_handlers.explanations.substitutes import substitute
from whybox_handlers.explanations.superpixels import Superpixels
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.passes.account import Limits, Passes
from whybox_handlers.passes.scheduler import run_one

SIDE = 12
CELL = 4
CELLS = (SIDE // CELL) ** 2
NAMES = ("none", "one", "two")


@pytest.fixture(autouse=True)
def _grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine squares in place of superpixels, so that a test knows them."""
    monkeypatch.setattr(regions, "segments_of", lambda *_: Superpixels(grid(), "slic"))


def grid() -> Tensor:
    places = torch.arange(SIDE) // CELL
    return places[:, None] * (SIDE // CELL) + places


def named(*layers: nn.Module) -> Classifier:
    classifier = classifier_of(network_of(*layers))
    classifier.model.labels.extend(NAMES)
    return classifier


def curved(seed: int) -> Classifier:
    torch.manual_seed(seed)
    hidden = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    return named(hidden, nn.Flatten(1), nn.Linear(72, 3, bias=False))


def linear(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return named(nn.Flatten(1), nn.Linear(3 * SIDE * SIDE, 3))


def found(classifier: Classifier, question: Question, values: Tensor, baseline: str = "black") -> v1.Regions:
    attribution = Attribution(values, "relative", signed=True)
    case = Case(classifier, subject_of(classifier, question.picture))
    asked = replace(question, options=v1.ExplanationOptions(baseline=baseline))
    return run_one(classifier, regions.find_regions(case, asked, attribution, Passes(Limits())))


def mask_of(region: v1.Region) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(BytesIO(region.mask))).copy())


def cells_of(region: v1.Region) -> frozenset[int]:
    inside = mask_of(region)
    cells = frozenset(grid()[inside].tolist())
    # Whole superpixels, and the numbers that belong to them.
    assert inside.equal(torch.isin(grid(), torch.tensor(sorted(cells), dtype=torch.int64)))
    assert region.segments == len(cells)
    assert region.area == pytest.approx(len(cells) / CELLS)
    return cells


def kept(question: Question, cells: Sequence[int] | frozenset[int]) -> Tensor:
    inside = torch.isin(grid(), torch.tensor(sorted(cells), dtype=torch.int64))
    return torch.where(inside, question.picture, substitute(question))


def table(classifier: Classifier, question: Question) -> dict[frozenset[int], bool]:
    """Whether the answer holds with each of the 512 sets kept."""
    sets = [frozenset(np.flatnonzero(bits).tolist()) for bits in product([0, 1], repeat=CELLS)]
    logits = classifier.serve(torch.stack([kept(question, cells) for cells in sets]))
    if question.objective.sum() == 0:
        holds = question.objective_of(logits) > 0
    else:
        holds = logits.argmax(dim=1) == question.objective.argmax()
    return dict(zip(sets, holds.tolist(), strict=True))


EVERY = frozenset(range(CELLS))


@pytest.mark.parametrize("make", [linear, curved])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("contrast", [False, True])
def test_against_all_sets(make: Callable[[int], Classifier], seed: int, contrast: bool) -> None:
    classifier = make(seed)
    picture = random_pictures(seed + 1, SIDE)[0]
    logits = classifier.serve(picture[None])[0]
    question = question_of(classifier, picture, int(logits.argmax()), torch.full_like(picture, 0.45))
    if contrast:
        question.objective[logits.argmin()] = -1
    part = found(classifier, question, torch.rand(3, 3, generator=torch.Generator().manual_seed(seed)))
    holds = table(classifier, question)
    assert part.segments == CELLS

    assert part.sufficient.state == "found"
    cells = cells_of(part.sufficient)
    assert holds[cells]
    assert not any(holds[cells - {cell}] for cell in cells)
    smallest = min(len(each) for each, held in holds.items() if held)
    assert smallest <= len(cells) <= smallest + (make is curved)

    if part.necessary.state == "not_found":
        assert holds[frozenset()]
        assert not part.necessary.mask
        # Where the cells add up there is one order in which the search must succeed.
        assert not (make is linear and contrast) or all(holds.values())
        return
    assert part.necessary.state == "found"
    cells = cells_of(part.necessary)
    assert not holds[EVERY - cells]
    assert all(holds[EVERY - cells | {cell}] for cell in cells)
    smallest = min(CELLS - len(each) for each, held in holds.items() if not held)
    assert smallest <= len(cells) <= smallest + (make is curved)


class Cue(nn.Module):
    """Class 1 where at least `needed` of the given cells are bright, 0 otherwise."""

    def __init__(self, cells: Sequence[int], needed: int) -> None:
        super().__init__()
        self.cells, self.needed = cells, needed

    def forward(self, pictures: Tensor) -> Tensor:
        places = torch.stack([grid() == cell for cell in self.cells])
        # Undoes the normalisation of the first channel (mean 0.5, std 0.25).
        bright = torch.stack([(0.25 * pictures[:, 0] + 0.5)[:, place].mean(dim=1) for place in places], dim=1) > 0.8
        seen = bright.sum(dim=1) - self.needed + 0.5
        return torch.stack([torch.zeros_like(seen), seen, torch.full_like(seen, -9)], dim=1)


@pytest.mark.parametrize(
    ("needed", "necessary"),
    [
        (1, {2, 4, 6}),  # any of the three is enough: all must go
        (2, None),  # two are enough: two must go, whichever
        (3, None),  # all are needed: one must go
    ],
)
def test_a_planted_cue_is_found(needed: int, necessary: set[int] | None) -> None:
    classifier = named(Cue([2, 4, 6], needed))
    picture = torch.full((3, SIDE, SIDE), 0.9)
    question = question_of(classifier, picture, 1)
    # The map knows nothing of it.
    part = found(classifier, question, torch.arange(9.0).view(3, 3))
    assert len(cells_of(part.sufficient)) == needed
    assert cells_of(part.sufficient) <= {2, 4, 6}
    assert len(cells_of(part.necessary)) == 4 - needed
    assert cells_of(part.necessary) <= {2, 4, 6}
    if necessary is not None:
        assert cells_of(part.necessary) == necessary


def test_what_is_told_of_a_region() -> None:
    classifier = named(Cue([1, 5], 2))
    picture = torch.full((3, SIDE, SIDE), 0.9)
    part = found(classifier, question_of(classifier, picture, 1), torch.zeros(3, 3))
    region = part.sufficient
    assert cells_of(region) == {1, 5}
    # Cells 1 and 5 are the top middle and the middle right; their box holds cells 1, 2, 4 and 5.
    assert (region.left, region.top, region.width, region.height) == (CELL, 0, 2 * CELL, 2 * CELL)
    question = question_of(classifier, picture, 1)
    for cells, probability in (({1, 5}, region.target.probability), ({1, 2, 4, 5}, region.box_probability)):
        expected = classifier.probabilities(kept(question, frozenset(cells))[None])[0, 1]
        assert probability == pytest.approx(float(expected))
    assert (region.target.index, region.target.label) == (1, "one")
    assert region.predicted == region.target
    assert (part.necessary.target.index, part.necessary.predicted.index) == (1, 0)
    assert part.necessary.box_probability < 0.5
    assert part.baseline == "black"


@pytest.mark.parametrize(
    ("options", "named_as"),
    [({"baseline": "mean"}, "mean"), ({"baseline_image": b"x", "baseline": "grey"}, "image"), ({}, "blur")],
)
def test_the_baseline_is_named(options: dict[str, Any], named_as: str) -> None:
    classifier = linear(0)
    picture = random_pictures(1, SIDE)[0]
    case, question = Case(classifier, subject_of(classifier, picture)), question_of(classifier, picture, 0)
    attribution = Attribution(torch.zeros(3, 3), "relative", signed=False)
    asked = replace(question, options=v1.ExplanationOptions(**options))
    search = regions.find_regions(case, asked, attribution, Passes(Limits()))
    assert run_one(classifier, search).baseline == named_as


def test_an_answer_that_is_not_given_has_no_regions() -> None:
    classifier = linear(0)
    picture = random_pictures(1, SIDE)[0]
    least = int(classifier.serve(picture[None])[0].argmin())
    question = question_of(classifier, picture, least)
    for asked in (question, replace(question, objective=torch.zeros(3))):
        part = found(classifier, asked, torch.zeros(3, 3))
        assert part.sufficient.state == part.necessary.state == "not_held"
        assert not part.sufficient.mask
        assert part.forward_evaluations == 0


def test_an_answer_that_the_baseline_gives_needs_nothing() -> None:
    classifier = named(Cue([0], 0))
    question = question_of(classifier, torch.full((3, SIDE, SIDE), 0.9), 1)
    part = found(classifier, question, torch.zeros(3, 3))
    assert part.sufficient.state == "found"
    assert cells_of(part.sufficient) == frozenset()
    assert (part.sufficient.width, part.sufficient.height) == (0, 0)
    assert part.necessary.state == "not_found"
    assert not part.necessary.HasField("target")


def test_passes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = curved(1)
    picture = random_pictures(2, SIDE)[0]
    question = question_of(classifier, picture, int(classifier.serve(picture[None]).argmax()))
    served = 0
    serving = classifier.serving

    def count(pictures: Tensor) -> tuple[Tensor, ...]:
        nonlocal served
        served += len(pictures)
        return serving(pictures)

    monkeypatch.setattr(classifier, "serving", count)
    part = found(classifier, question, torch.rand(3, 3))
    # One was the first look at the picture.
    assert part.forward_evaluations == served - 1 > 0
