import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from whybox_server.studies.results.compute import Design, compute
from whybox_server.studies.results.contrasts import asked_contrasts, contrasts
from whybox_server.studies.results.counted_cells import Population
from whybox_server.studies.results.votes import CORRECT, ERROR, NO, YES, Questions, Votes

CELLS = tuple(
    f"{arm}/{version}/model" for version in ("clean", "adversarial") for arm in ("none", "feature", "example")
)
NONE, FEATURE, EXAMPLE, NONE_ADVERSARIAL, FEATURE_ADVERSARIAL, EXAMPLE_ADVERSARIAL = CELLS
PICTURES, PEOPLE = 60, 36


def votes(chances: dict[str, float], seed: int, *, picture_sd: float = 0.0) -> Votes:
    """Sixty pictures in each cell; six groups of people see six cells in turn, and each picture once."""
    rng = np.random.default_rng(seed)
    cells = tuple(chances)
    shift = rng.normal(0, picture_sd, PICTURES)
    question, annotator, value = [], [], []
    for picture in range(PICTURES):
        order = rng.permutation(PEOPLE)
        for cell, name in enumerate(cells):
            for person in order[5 * cell : 5 * cell + 5]:
                question.append(cell * PICTURES + picture)
                annotator.append(person)
                value.append(YES if rng.random() < chances[name] + shift[picture] else NO)
    return Votes(
        np.array(question),
        np.array(annotator),
        np.array(value, np.int8),
        Questions(
            np.tile(np.arange(PICTURES), len(cells)),
            np.repeat(np.arange(len(cells)), PICTURES),
            np.tile(np.where(np.arange(PICTURES) < 30, ERROR, CORRECT).astype(np.int8), len(cells)),
            np.ones(PICTURES * len(cells)),
            tuple(map(str, range(PICTURES * len(cells)))),
            cells,
        ),
    )


def test_registered_contrasts_are_corrected_and_all_others_are_exploratory() -> None:
    chances = dict(zip(CELLS, (0.5, 0.8, 0.55, 0.3, 0.4, 0.3), strict=True))
    registered = ((FEATURE, NONE), (EXAMPLE, NONE), (FEATURE_ADVERSARIAL, NONE_ADVERSARIAL))
    found = compute(votes(chances, 1), Design(30, 30, contrasts=registered), seed=1, redraws=1000).contrasts
    assert len(found) == 9
    of = {(one.plus, one.minus): one for one in found}
    twice = of[(FEATURE_ADVERSARIAL, NONE), (NONE_ADVERSARIAL, FEATURE)]
    assert [one.registered for one in found] == [True] * 4 + [False] * 5
    assert twice.registered
    assert not of[(EXAMPLE_ADVERSARIAL, NONE), (NONE_ADVERSARIAL, EXAMPLE)].registered
    tested = [one for one in found if one.registered]
    holm = multipletests([one.p for one in tested], method="holm")[1]
    assert [one.p_holm for one in tested] == pytest.approx(list(holm))
    assert all(one.p_holm is None for one in found if not one.registered)
    assert {one.pictures for one in found} == {PICTURES}
    first, second = of[(FEATURE,), (NONE,)], of[(FEATURE_ADVERSARIAL,), (NONE_ADVERSARIAL,)]
    assert twice.difference.estimate == pytest.approx(second.difference.estimate - first.difference.estimate)
    assert first.difference.low > 0
    assert first.p < 0.01


def test_a_difference_is_that_of_its_cells() -> None:
    outcome = compute(
        votes({NONE: 0.4, FEATURE: 0.7}, 2), Design(30, 30, contrasts=((NONE, FEATURE),)), seed=1, redraws=200
    )
    accepted = {cell.cell: cell.accepted.estimate for cell in outcome.cells}
    (one,) = outcome.contrasts
    assert one.name == f"{NONE} - {FEATURE}"
    assert one.difference.estimate == pytest.approx(accepted[NONE] - accepted[FEATURE])


def test_only_pictures_that_both_cells_have_count() -> None:
    of = votes({NONE: 0.4, FEATURE: 0.7}, 3)
    kept = of.question < PICTURES + 20
    assert of.annotator is not None
    some = Votes(of.question[kept], of.annotator[kept], of.value[kept], of.questions)
    (one,) = compute(some, Design(30, 30), seed=1, redraws=200).contrasts
    assert one.pictures == 20
    yes = np.bincount(some.question, some.value == YES, 2 * PICTURES) >= 3
    # Pictures 0 to 19 are errors, so the difference is that of errors alone.
    assert one.difference.estimate == pytest.approx(yes[PICTURES : PICTURES + 20].mean() - yes[:20].mean())


def test_cells_without_a_common_picture_have_no_contrast() -> None:
    of = votes({NONE: 0.4, FEATURE: 0.7}, 4)
    kept = (of.question < 20) | (of.question >= PICTURES + 20)
    assert of.annotator is not None
    some = Votes(of.question[kept], of.annotator[kept], of.value[kept], of.questions)
    assert compute(some, Design(30, 30), seed=1, redraws=200).contrasts == ()


def test_what_pictures_share_cancels_out() -> None:
    """The difference between two cells is surer than independent cells are."""
    outcome = compute(votes({NONE: 0.5, FEATURE: 0.5}, 5, picture_sd=1.0), Design(30, 30), seed=1, redraws=1000)
    apart = np.linalg.norm([cell.accepted.standard_error for cell in outcome.cells])
    assert outcome.contrasts[0].difference.standard_error < 0.7 * apart


def test_one_item_in_two_cells_differs_by_nothing() -> None:
    """The same votes in both cells: what pictures and annotators add cancels, and Jeffreys' prior alone is left."""
    one = votes({NONE: 0.5}, 6)
    assert one.annotator is not None
    both = Votes(
        np.concatenate([one.question, one.question + PICTURES]),
        np.tile(one.annotator, 2),
        np.tile(one.value, 2),
        votes({NONE: 0.5, FEATURE: 0.5}, 6).questions,
    )
    (found,) = compute(both, Design(30, 30), seed=1, redraws=1000).contrasts
    assert found.difference.estimate == pytest.approx(0, abs=1e-12)
    assert found.difference.standard_error < 0.03
    assert found.p > 0.5


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    """Binomial limits of 5 % among 100 studies, missed once in 1,000."""
    population = Population(30, 30, 0, 0)
    significant = 0
    for number in range(100):
        of = votes({NONE: 0.6, FEATURE: 0.6}, 100 + number, picture_sd=0.2)
        (found,) = contrasts(
            of, asked_contrasts(of.questions.cells, ()), "accepted", "rejected", population, seed=1, redraws=200
        )
        significant += found.p <= 0.05
    assert significant <= stats.binom.ppf(0.999, 100, 0.05)
