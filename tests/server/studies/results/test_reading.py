"""From the answers of a study to columns: each answer where it belongs."""

import numpy as np
import pytest

from server.studies.answers import raw, vote
from studying import CLEAN, picture, protocol
from whybox_server.studies.protocol import Answer
from whybox_server.studies.results.reading import columns
from whybox_server.studies.results.votes import CANNOT_JUDGE, CORRECT, ERROR, MAYBE, NO, YES

NONE, FEATURE = (cell.name for cell in CLEAN)


def test_answers_as_columns() -> None:
    pictures = [
        picture("p0"),
        picture("p1").model_copy(update={"stratum": "correct", "inclusion_probability": 0.25}),
    ]
    votes, design = columns(
        raw(
            protocol(pictures),
            vote("anna", "p1", FEATURE, answer=Answer.NO, milliseconds=200),
            vote("ben", "p0", NONE, answer=Answer.MAYBE),
            vote("anna", "p0", NONE, answer=Answer.CANNOT_JUDGE),
            vote("ben", "p1", NONE),
        )
    )
    questions = votes.questions
    assert questions.names == (f"p0.jpg/{NONE}", f"p0.jpg/{FEATURE}", f"p1.jpg/{NONE}", f"p1.jpg/{FEATURE}")
    assert questions.picture.tolist() == [0, 0, 1, 1]
    assert questions.cell.tolist() == [0, 1, 0, 1]
    assert questions.stratum.tolist() == [ERROR, ERROR, CORRECT, CORRECT]
    assert questions.weight.tolist() == [1, 1, 4, 4]
    assert votes.question.tolist() == [3, 0, 0, 2]
    assert votes.annotator is not None
    assert votes.annotator.tolist() == [0, 1, 0, 1]
    assert votes.value.tolist() == [NO, MAYBE, CANNOT_JUDGE, YES]
    assert votes.milliseconds is not None
    np.testing.assert_array_equal(votes.milliseconds, [200, np.nan, np.nan, np.nan])
    assert design.gold_failures is None


def test_an_item_that_stands_for_two_cells_answers_both() -> None:
    votes, _ = columns(raw(protocol([picture("p0", merged=[(NONE, FEATURE)])]), vote("anna", "p0", NONE, FEATURE)))
    assert votes.question.tolist() == [0, 1]
    assert votes.value.tolist() == [YES, YES]
    assert votes.questions.cell.tolist() == [0, 1]


def test_gold_failures_by_person() -> None:
    study = protocol(1, gold=2, gold_failures_allowed=1)
    gold = [
        vote("anna", "gold0", "gold", answer=Answer.NO),
        vote("anna", "gold1", "gold", answer=Answer.CANNOT_JUDGE),
        vote("ben", "gold0", "gold"),
        vote("carl", "gold0", "gold", answer=Answer.NO),  # who answered no item
    ]
    items = [vote("ben", "p0", NONE), vote("anna", "p0", NONE)]
    _, design = columns(raw(study, *items, gold=gold))
    assert design.gold_failures is not None
    assert design.gold_failures.tolist() == [0, 2]
    assert design.gold_failures_allowed == 1


@pytest.mark.parametrize(
    ("stratum", "unasked"),
    [("error", (0, 20)), ("correct", (10, 0))],
)
def test_a_stratum_without_a_picture_was_never_asked(stratum: str, unasked: tuple[int, int]) -> None:
    study = protocol([picture("p0").model_copy(update={"stratum": stratum})])
    study = study.model_copy(update={"source": study.source.model_copy(update={"errors": 10, "correct": 20})})
    _, design = columns(raw(study, vote("anna", "p0", NONE)))
    assert (design.unasked_errors, design.unasked_correct) == unasked


def test_the_policy_counts() -> None:
    study = protocol(1, maybe="rejected", ties="accepted", fastest_ms=450, contrasts=[(FEATURE, NONE)])
    _, design = columns(raw(study, vote("anna", "p0", NONE)))
    assert (design.maybe, design.ties, design.fastest_ms) == ("rejected", "accepted", 450)
    assert design.contrasts == ((FEATURE, NONE),)
