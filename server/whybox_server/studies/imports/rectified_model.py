"""A real model judged by published votes: the question about a picture is the one with the model's label."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.answers import ModelAnswers
from whybox_server.studies.imports.published import Published
from whybox_server.studies.imports.real import question_of
from whybox_server.studies.report.subject import Count
from whybox_server.studies.results.votes import CORRECT, ERROR, Questions, Votes

CELL = "none/clean/model"


def rectified_model(published: Published, answers: ModelAnswers) -> Published:
    """The votes on the answers of a model.

    Pictures or labels that nobody was asked about have no votes: such an error counts as rejected, and such a correct
    answer as accepted.

    Args:
        published: Votes on pictures with any labels, as of `read_real`.
        answers: The answers of the model.

    Raises:
        StudyError: Not one answer was asked about.
    """
    places = question_of(published.votes)
    asked = [row for row in answers.rows if (row.file, row.predicted) in places]
    if not asked:
        raise StudyError(
            f"people were asked about none of the {len(answers.rows)} answers; the pictures need their original names,"
            " such as ILSVRC2012_val_00000293.JPEG"
        )
    chosen = np.array([places[row.file, row.predicted] for row in asked])
    wrong = np.array([row.given != row.predicted for row in asked])
    errors = sum(row.given != row.predicted for row in answers.rows)
    correct = len(answers.rows) - errors
    unasked_errors, unasked_correct = errors - int(wrong.sum()), correct - int((~wrong).sum())
    return Published(
        subject=replace(
            published.subject,
            study=f"{published.subject.study}-model",
            title=f"{answers.model}, judged by the people behind ReaL",
            model=answers.model,
            data=answers.data,
            counts=(
                Count("errors that nobody was asked about; they count as rejected", unasked_errors, errors),
                Count("correct answers that nobody was asked about; they count as accepted", unasked_correct, correct),
            ),
            limits=(
                "Raters were asked about labels that other networks proposed. An answer of this model that none of"
                " them gave has no votes.",
                "Pictures on which all those networks agreed with ImageNet were never shown to raters.",
                "The same raters answered about many pictures, and up to eight labels of a picture at once.",
            ),
        ),
        votes=_of_questions(published.votes, chosen, wrong),
        design=replace(
            published.design,
            errors=errors,
            correct=correct,
            unasked_errors=unasked_errors,
            unasked_correct=unasked_correct,
        ),
    )


def _of_questions(votes: Votes, chosen: NDArray[np.int64], wrong: NDArray[np.bool_]) -> Votes:
    """The votes on some questions, which are numbered from 0 in their order."""
    new = np.full(len(votes.questions.names), -1)
    new[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero(new[votes.question] >= 0)
    annotator = None if votes.annotator is None else np.unique(votes.annotator[kept], return_inverse=True)[1]
    return Votes(
        question=new[votes.question[kept]],
        annotator=annotator,
        value=votes.value[kept],
        questions=Questions(
            picture=np.arange(len(chosen)),
            cell=np.zeros(len(chosen), np.int64),
            stratum=np.where(wrong, ERROR, CORRECT).astype(np.int8),
            weight=np.ones(len(chosen)),
            names=tuple(votes.questions.names[place] for place in chosen),
            cells=(CELL,),
        ),
    )
