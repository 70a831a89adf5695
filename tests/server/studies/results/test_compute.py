from dataclasses import replace

import numpy as np
import pytest

from whybox_server.studies.results.compute import Design, compute
from whybox_server.studies.results.outcome import ANNOTATORS_UNKNOWN, ESTIMAND, Outcome
from whybox_server.studies.results.votes import CANNOT_JUDGE, CORRECT, ERROR, MAYBE, NO, YES, Questions, Votes

CLEAN, ADVERSARIAL, FOIL = "none/clean/model", "none/adversarial/model", "none/clean/foil"


def votes(
    rows: list[tuple[str, int, list[int]]],
    *,
    cells: tuple[str, ...] = (CLEAN,),
    weight: float = 1.0,
    people: bool = True,
) -> Votes:
    """A row is a question about a picture of its own: its cell, its stratum, and what people 0, 1, 2 … say."""
    question = np.repeat(np.arange(len(rows)), [len(said) for *_, said in rows])
    return Votes(
        question,
        np.concatenate([np.arange(len(said)) for *_, said in rows]) if people else None,
        np.concatenate([said for *_, said in rows]).astype(np.int8),
        Questions(
            np.arange(len(rows)),
            np.array([cells.index(cell) for cell, *_ in rows]),
            np.array([stratum for _, stratum, _ in rows], np.int8),
            np.full(len(rows), weight),
            tuple(map(str, range(len(rows)))),
            cells,
        ),
    )


def run(of: Votes, design: Design) -> Outcome:
    return compute(of, design, seed=1, redraws=200)


ALL_YES, ALL_NO, TWO_YES = [YES] * 5, [NO] * 5, [YES, YES, MAYBE, NO, NO]


@pytest.mark.parametrize(
    ("maybe", "accepted", "rejected", "rectified"), [("accepted", 28, 11, 0.270), ("rejected", 14, 24, 0.324)]
)
def test_what_was_never_asked_counts_as_the_data_set_says(
    maybe: str, accepted: int, rejected: int, rectified: float
) -> None:
    """152 errors of 500, 45 of them never asked about; 348 correct answers, 285 of them."""
    rows = [(CLEAN, ERROR, ALL_YES)] * 14 + [(CLEAN, ERROR, TWO_YES)] * 14 + [(CLEAN, ERROR, ALL_NO)] * 79
    rows += [(CLEAN, CORRECT, ALL_NO)] * 11 + [(CLEAN, CORRECT, TWO_YES)] * 13 + [(CLEAN, CORRECT, ALL_YES)] * 39
    outcome = run(votes(rows), Design(152, 348, unasked_errors=45, unasked_correct=285, maybe=maybe))  # type: ignore[arg-type]
    (cell,) = outcome.cells
    assert outcome.estimand == ESTIMAND
    assert outcome.standard_error == cell.standard_error == pytest.approx(0.304)
    assert (cell.asked_errors, cell.asked_correct) == (107, 63)
    assert (cell.majority_accepted_errors, cell.majority_rejected_correct) == (accepted, rejected)
    assert cell.rectified is not None
    assert cell.rectified.majority == pytest.approx(rectified)
    assert cell.rectified.estimate == pytest.approx(rectified)
    assert cell.rectified.low < rectified < cell.rectified.high
    assert cell.rectified.estimate == pytest.approx(1 - cell.accepted.estimate)
    assert 1 - cell.accepted_at_most == pytest.approx(rectified - 45 / 500)
    assert 1 - cell.accepted_at_least == pytest.approx(rectified + 285 / 500)


def test_the_rectified_error_is_the_formula() -> None:
    rows = [(CLEAN, ERROR, ALL_YES), (CLEAN, ERROR, ALL_NO), (CLEAN, CORRECT, ALL_NO)]
    (cell,) = run(votes(rows + [(CLEAN, CORRECT, ALL_YES)] * 3), Design(30, 70)).cells
    assert cell.accepted_of_errors is not None
    assert cell.rejected_of_correct is not None
    assert cell.rectified is not None
    assert (cell.accepted_of_errors.estimate, cell.rejected_of_correct.estimate) == (0.5, 0.25)
    assert cell.rectified.estimate == pytest.approx(0.3 * 0.5 + 0.7 * 0.25)
    assert cell.accepted_at_least == cell.accepted_at_most == cell.accepted.estimate


def test_a_stratum_without_votes_is_unasked() -> None:
    (cell,) = run(votes([(CLEAN, ERROR, ALL_YES)] * 4), Design(30, 70)).cells
    assert cell.rejected_of_correct is None
    assert cell.rectified is not None
    assert cell.rectified.estimate == pytest.approx(0.0)
    assert cell.accepted_at_least == pytest.approx(0.3)


def test_cells_say_what_they_are_of() -> None:
    cells = (CLEAN, ADVERSARIAL, FOIL)
    outcome = run(votes([(cell, ERROR, ALL_YES) for cell in cells], cells=cells), Design(1, 0))
    assert [(cell.standard_error, cell.rectified is None) for cell in outcome.cells] == [
        (1.0, False),
        (1.0, False),
        (1.0, True),
    ]
    outcome = run(votes([(cell, CORRECT, ALL_YES) for cell in cells], cells=cells), Design(0, 1))
    assert [cell.standard_error for cell in outcome.cells] == [0.0, 1.0, 0.0]
    assert [cell.accepted.estimate for cell in outcome.cells] == [1.0] * 3


def test_maybe_and_ties_in_turn() -> None:
    outcome = run(votes([(CLEAN, ERROR, [YES, YES, MAYBE, NO, NO, NO])] * 8), Design(8, 0))
    found = {(one.maybe, one.ties): one.accepted for one in outcome.sensitivity}
    assert {policy: one.majority for policy, one in found.items()} == {
        ("accepted", "accepted"): 1.0,
        ("accepted", "rejected"): 0.0,
        ("rejected", "accepted"): 0.0,
        ("rejected", "rejected"): 0.0,
    }
    # Three of six, then two of six, accept: P(Hypergeometric >= 3) is 1/2, then 0.
    assert found["accepted", "rejected"].estimate == pytest.approx(0.5)
    assert found["rejected", "rejected"].estimate == pytest.approx(0.0)
    assert [one.primary for one in outcome.sensitivity].count(True) == 1
    assert outcome.cells[0].accepted == found["accepted", "rejected"]


def test_who_fails_the_gold_is_excluded() -> None:
    rows = [(CLEAN, ERROR, [YES, YES, NO, NO, NO, YES, YES])] * 4
    failures = np.array([0, 1, 2, 3, 0, 0, 0])
    outcome = run(votes(rows), Design(4, 0, gold_failures=failures, gold_failures_allowed=1))
    assert outcome.exclusions.annotators == 7
    assert outcome.exclusions.failures == (4, 1, 1, 1)
    assert (outcome.exclusions.excluded, outcome.exclusions.answers_dropped) == (2, 8)
    assert outcome.cells[0].votes == 20
    assert outcome.cells[0].accepted.majority == 1.0


def test_fast_answers_are_marked_and_count() -> None:
    one = votes([(CLEAN, ERROR, ALL_YES)] * 2)
    times = np.array([100, 299, 300, 5000, np.nan, 1000, 1000, 1000, 1000, 1000.0])
    outcome = run(replace(one, milliseconds=times), Design(2, 0))
    assert (outcome.speed.timed, outcome.speed.faster, outcome.speed.median_ms) == (9, 2, 1000)
    assert outcome.cells[0].votes == 10
    untimed = run(one, Design(2, 0)).speed
    assert (untimed.timed, untimed.faster, untimed.median_ms) == (0, 0, None)


def test_without_annotators_the_outcome_says_what_is_left_out() -> None:
    rows = [(CLEAN, ERROR, ALL_YES), (CLEAN, ERROR, ALL_NO)]
    unknown, known = run(votes(rows, people=False), Design(2, 0)), run(votes(rows), Design(2, 0))
    assert (unknown.left_out, unknown.dawid_skene, unknown.exclusions.annotators) == (ANNOTATORS_UNKNOWN, None, None)
    assert (known.left_out, known.exclusions.annotators) == ("", 5)
    assert known.dawid_skene is not None


def test_pictures_that_cannot_be_judged_are_counted() -> None:
    rows = [(CLEAN, ERROR, [*ALL_YES, CANNOT_JUDGE]), (CLEAN, ERROR, [CANNOT_JUDGE] * 5)]
    (cell,) = run(votes(rows), Design(2, 0)).cells
    assert (cell.questions, cell.without_votes, cell.votes, cell.cannot_judge) == (1, 1, 5, 6)


def test_dawid_and_skene_undo_a_spammer() -> None:
    """Two honest people of three are outvoted nowhere, but four who say yes to all outvote three."""
    rng = np.random.default_rng(2)
    truth = rng.random(60) < 0.5
    rows = [
        (CLEAN, ERROR, [*([YES if right else NO] * 3), *rng.choice([YES, YES, YES, NO], 4).tolist()]) for right in truth
    ]
    outcome = run(votes(rows), Design(60, 0))
    assert outcome.dawid_skene is not None
    assert outcome.dawid_skene.converged
    assert outcome.dawid_skene.cells[0].accepted_of_errors == pytest.approx(truth.mean())
    assert outcome.cells[0].accepted.majority > truth.mean() + 0.1
    assert outcome.dawid_skene.cells[0].agrees < 0.9


def test_equal_seeds_give_equal_outcomes() -> None:
    of, design = votes([(CLEAN, ERROR, ALL_YES), (CLEAN, ERROR, TWO_YES), (CLEAN, ERROR, ALL_NO)]), Design(3, 0)
    assert run(of, design) == run(of, design) != compute(of, design, seed=2, redraws=200)


ONE = votes([(CLEAN, ERROR, ALL_YES)])


@pytest.mark.parametrize(
    ("of", "design", "redraws", "message"),
    [
        pytest.param(ONE, Design(1, 0), 99, "redraws is below 100", id="few redraws"),
        pytest.param(ONE, Design(0, 0), 100, "errors and correct are both 0", id="no pictures"),
        pytest.param(
            ONE, Design(3, 0, unasked_errors=4), 100, "unasked_errors is not from 0 to errors, 3", id="unasked"
        ),
        pytest.param(ONE, Design(3, 0, unasked_errors=3), 100, "there are questions about them", id="asked after all"),
        pytest.param(ONE, Design(1, 0, contrasts=((CLEAN, FOIL),)), 100, f'the cell "{FOIL}"', id="contrast"),
        pytest.param(ONE, Design(1, 0, gold_failures=np.array([0])), 100, "lacks an annotator", id="gold of others"),
        pytest.param(
            votes([(CLEAN, ERROR, ALL_YES)], people=False),
            Design(1, 0, gold_failures=np.array([0])),
            100,
            "whose annotators are known",
            id="gold of the unknown",
        ),
        pytest.param(
            votes([(CLEAN, ERROR, ALL_YES)], weight=0.0), Design(1, 0), 100, "a weight is not above 0", id="weight"
        ),
        pytest.param(
            votes([("real", ERROR, ALL_YES)], cells=("real",)),
            Design(1, 0),
            100,
            'named "arm/version/label"',
            id="cell",
        ),
        pytest.param(votes([(CLEAN, ERROR, [CANNOT_JUDGE])]), Design(1, 0), 100, "nobody voted", id="no votes"),
    ],
)
def test_bad_input_is_named(of: Votes, design: Design, redraws: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute(of, design, seed=1, redraws=redraws)
