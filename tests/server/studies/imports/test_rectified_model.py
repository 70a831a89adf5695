"""A model judged by published votes: what was asked, and what never was."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from server.studies.imports import publications
from server.studies.imports.publications import MAYBE, NO, YES
from whybox_server.audits.data.errors import DataSetError
from whybox_server.audits.passes.pool import Workers
from whybox_server.audits.passes.run import PassOptions
from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.answers import ModelAnswer, ModelAnswers, answers_of_model, answers_of_table
from whybox_server.studies.imports.real import read_real
from whybox_server.studies.imports.rectified_model import rectified_model
from whybox_server.studies.results.compute import compute
from whybox_server.studies.results.outcome import Decision
from whybox_server.studies.results.tally import counts

DATA = Path(os.environ.get("WHYBOX_DATA", ""))

QUESTIONS = {
    ("a.JPEG", 3): [YES, YES, YES, NO, NO],  # an error that people accept
    ("a.JPEG", 4): [NO, NO, NO, NO, NO],  # no answer of the model
    ("b.JPEG", 3): [NO, NO, NO, NO, MAYBE],  # a correct answer that people reject
    ("c.JPEG", 5): [YES, YES, MAYBE, NO, NO],  # an error, accepted with maybe only
}
ANSWERS = ModelAnswers(
    "m 1",
    "x",
    (
        ModelAnswer("a.JPEG", 1, 3),
        ModelAnswer("b.JPEG", 3, 3),
        ModelAnswer("c.JPEG", 1, 5),
        ModelAnswer("c2.JPEG", 1, 5),  # an error, never shown
        ModelAnswer("d.JPEG", 2, 2),  # a correct answer, never shown
        ModelAnswer("b2.JPEG", 3, 3),
    ),
)


@pytest.mark.parametrize(
    ("maybe", "accepted", "error", "lowest", "highest"),
    [
        ("accepted", 2, 2 / 6, 1 / 6, 4 / 6),
        ("rejected", 1, 3 / 6, 2 / 6, 5 / 6),
    ],
)
def test_what_was_never_asked_counts_as_the_data_set_says(
    tmp_path: Path, maybe: Decision, accepted: int, error: float, lowest: float, highest: float
) -> None:
    published = rectified_model(read_real(publications.real(tmp_path, QUESTIONS), maybe), ANSWERS)
    assert counts(published.votes).tolist() == [[2, 0, 3], [4, 1, 0], [2, 1, 2]]
    assert published.votes.questions.names == ("a.JPEG/3", "b.JPEG/3", "c.JPEG/5")
    outcome = compute(published.votes, published.design, seed=0, redraws=100)
    (cell,) = outcome.cells
    assert (outcome.errors, outcome.correct) == (3, 3)
    assert (outcome.unasked_errors, outcome.unasked_correct) == (1, 2)
    assert (cell.majority_accepted_errors, cell.majority_rejected_correct) == (accepted, 1)
    assert cell.rectified is not None
    assert cell.rectified.majority == pytest.approx(error)
    assert (1 - cell.accepted_at_most, 1 - cell.accepted_at_least) == pytest.approx((lowest, highest))
    assert [(count.number, count.of) for count in published.subject.counts] == [(1, 3), (2, 3)]


def test_pictures_under_other_names(tmp_path: Path) -> None:
    answers = ModelAnswers("m", "x", (ModelAnswer("1.jpg", 1, 3),))
    with pytest.raises(StudyError, match="people were asked about none of the 1 answers; the pictures need their"):
        rectified_model(read_real(publications.real(tmp_path, QUESTIONS)), answers)


def test_a_table_of_predictions(tmp_path: Path) -> None:
    one = tmp_path / "one.csv"
    one.write_text("file,predicted,label\nn1/a.JPEG,3,1\nb.JPEG,3,3\nunknown.JPEG,3,-1\n")
    with pytest.raises(StudyError, match=r"has no row for unknown\.JPEG"):
        answers_of_table(one, None, None)
    one.write_text("file,predicted,label\nn1/a.JPEG,3,1\nb.JPEG,3,3\n")
    expected = (ModelAnswer("a.JPEG", 1, 3), ModelAnswer("b.JPEG", 3, 3))
    assert answers_of_table(one, None, None).rows == expected
    two, labels = tmp_path / "two.csv", tmp_path / "labels.csv"
    two.write_text("file,predicted\na.JPEG,3\nb.JPEG,3\n")
    labels.write_text("file,imagenet1k_index,own\na.JPEG,1,9\nb.JPEG,3,9\n")
    assert answers_of_table(two, labels, None).rows == expected
    assert [row.given for row in answers_of_table(two, labels, "own").rows] == [9, 9]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,predicted\na.JPEG,3\n", "no column label or imagenet1k_index: it has file, predicted; give a table"),
        ("file,label\na.JPEG,3\n", "no column predicted"),
        ("name,label,predicted\na.JPEG,3,3\n", "no column file"),
        ("file,label,predicted\na.JPEG,3,1000\n", "line 2: predicted is '1000', and must be 0 to 999"),
        ("file,label,predicted\na.JPEG,tench,3\n", "line 2: label is 'tench', and must be 0 to 999"),
        ("file,label,predicted\nx/a.JPEG,3,3\ny/a.JPEG,3,3\n", "line 3: a.JPEG is there twice"),
        ("file,label,predicted\n", "has no row with a class"),
    ],
)
def test_wrong_tables(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(table)
    with pytest.raises(StudyError, match=message):
        answers_of_table(path, None, None)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="cannot be read"):
        answers_of_table(tmp_path / "none.csv", None, None)


@pytest.mark.skipif("WHYBOX_DATA" not in os.environ, reason="needs pictures and published votes at WHYBOX_DATA")
@pytest.mark.parametrize(
    ("maybe", "rectified", "accepted", "rejected"), [("accepted", 0.270, 28, 11), ("rejected", 0.324, 14, 24)]
)
def test_a_real_model(
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
    maybe: Decision,
    rectified: float,
    accepted: int,
    rejected: int,
) -> None:
    """EfficientNet-Lite0 on 500 validation pictures, judged by the raters of ReaL; the second run predicts nothing."""
    options = PassOptions(
        folder=DATA / "imagenet-val-500",
        model=None,
        model_store=archive.parent,
        labels=DATA / "imagenet-val-500.csv",
        norms=(),
        budget="standard",
        attack="",
        save=tmp_path_factory.getbasetemp() / "lite0",
        workers=Workers(number=1),
        device="cpu",
        seed=0,
        view=False,
        fresh=False,
    )
    answers = answers_of_model(options, Console(quiet=True))
    published = rectified_model(read_real(DATA / "real-labels", maybe), answers)
    outcome = compute(published.votes, published.design, seed=0, redraws=100)
    (cell,) = outcome.cells
    assert (outcome.errors, outcome.correct) == (152, 348)
    assert outcome.standard_error == pytest.approx(0.304)
    assert (outcome.unasked_errors, outcome.unasked_correct) == (45, 285)
    assert (cell.majority_accepted_errors, cell.majority_rejected_correct) == (accepted, rejected)
    assert cell.rectified is not None
    assert cell.rectified.estimate == pytest.approx(rectified)
