"""The votes behind Salient ImageNet: is what a network's feature looks at the main object?"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from whybox_server.studies.errors import StudyError
from whybox_server.studies.imports.published import Published, find_file
from whybox_server.studies.report.subject import Count, Subject
from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.votes import CORRECT, NO, YES, Questions, Votes

MAIN_OBJECT = "main_object"
ANSWERS = (MAIN_OBJECT, "separate_object", "background")
"""What a worker could answer."""

_PUBLISHER = "singlasahil14/salient_imagenet"
_TABLE = "discover_spurious_features.csv"
_WORKER, _CLASS, _FEATURE, _ANSWER = "WorkerId", "Input.class_index", "Input.feature_index", "Answer.main"
_MAJORITY = 3
_BASKETBALL = 430
CELL = "feature/clean/given"


def read_salient_imagenet(folder: Path) -> Published:
    """Reads the votes on the features of a robust network; a question is a class and a feature.

    Args:
        folder: Folder with the table of the answers (CSV).

    Raises:
        StudyError: The table is missing, is damaged or has another layout.
    """
    path = find_file(folder, _TABLE, _PUBLISHER)
    questions: dict[tuple[int, int], int] = {}
    workers: dict[str, int] = {}
    question, annotator, value = [], [], []
    for number, row in _rows(path):
        answer = row[_ANSWER]
        if answer not in ANSWERS:
            raise StudyError(f"{path}, line {number}: {_ANSWER} is {answer!r}, and must be {', '.join(ANSWERS)}")
        try:
            key = int(row[_CLASS]), int(row[_FEATURE])
        except ValueError as error:
            raise StudyError(f"{path}, line {number}: class and feature must be whole numbers") from error
        question.append(questions.setdefault(key, len(questions)))
        annotator.append(workers.setdefault(row[_WORKER], len(workers)))
        value.append(YES if answer == MAIN_OBJECT else NO)
    if not question:
        raise StudyError(f"{path} has no answers")
    asked = np.array(question)
    if len(set(zip(question, annotator, strict=True))) != len(question):
        raise StudyError(f"{path}: a worker answered about one feature twice")
    classes = np.array([index for index, _ in questions])
    votes = Votes(
        question=asked,
        annotator=np.array(annotator),
        value=np.array(value, np.int8),
        questions=Questions(
            picture=np.arange(len(questions)),
            cell=np.zeros(len(questions), np.int64),
            stratum=np.full(len(questions), CORRECT, np.int8),
            weight=np.ones(len(questions)),
            names=tuple(f"class-{index}/feature-{feature}" for index, feature in questions),
            cells=(CELL,),
        ),
    )
    few = np.bincount(asked[votes.value == YES], minlength=len(questions)) < _MAJORITY
    return Published(
        subject=Subject(
            study="salient-imagenet",
            digest="",
            title="Salient ImageNet: votes on what a network's features look at",
            source="Singla and Feizi, “Salient ImageNet: How to discover spurious features in Deep Learning?”, 2022"
            " (arXiv 2110.04301)",
            asked="Five workers saw the pictures of a class that activate a feature most, with the place of the"
            " feature, and said whether it is the main object, a separate object or the background. “Main object” is"
            " a yes.",
            model="",
            data="ImageNet, training pictures",
            of="features",
            counts=(
                Count(f"features with fewer than {_MAJORITY} of five for “main object”", int(few.sum()), len(few)),
                Count(
                    "such features of basketball",
                    int(few[classes == _BASKETBALL].sum()),
                    int((classes == _BASKETBALL).sum()),
                ),
                Count("classes with at least one such feature", len(np.unique(classes[few])), len(np.unique(classes))),
            ),
            limits=(
                "People were asked about features of classes, and not about a model's answers: these votes rectify no"
                " error.",
            ),
        ),
        votes=votes,
        design=Design(errors=0, correct=len(questions)),
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their line numbers."""
    needed = (_WORKER, _CLASS, _FEATURE, _ANSWER)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, restval="")
            if missing := [name for name in needed if name not in (table.fieldnames or ())]:
                raise StudyError(f"{path} has another layout: it has no column {' and '.join(missing)}")
            for row in table:
                yield table.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path} cannot be read as CSV ({error}); download it again") from error
