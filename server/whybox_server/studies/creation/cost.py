"""What a study asks of people, and whether they can give it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whybox_server.studies.errors import StudyError
from whybox_server.studies.protocol import Policy

SECONDS = 8.0
"""Seconds that an answer takes by default: to look, to decide and to press a key, explanation included."""


@dataclass(frozen=True)
class Cost:
    """What a study asks of people.

    Attributes:
        cells: Number of cells.
        pictures: Number of pictures.
        items: Number of items; cells that coincide are one.
        answers: Number of answers that count.
        least: The least number of people who can give them.
        annotators: Number of people who take part.
        beside: Number of their answers to practice and gold pictures.
        hours: Working time of all people together.
    """

    cells: int
    pictures: int
    items: int
    answers: int
    least: int
    annotators: int
    beside: int
    hours: float

    def sentence(self) -> str:
        """In words."""
        people = f"{self.annotators} annotators"
        if self.annotators > self.least:
            people += f" ({self.least} would do)"
        beside = f" and {self.beside} to practice and gold pictures" if self.beside else ""
        return (
            f"{self.cells} cells, {self.pictures} pictures, {self.items} items: {self.answers} answers{beside} by"
            f" {people}, {self.hours:.1f} hours in all"
        )


def cost_of(
    cells: int, items: Sequence[int], policy: Policy, practice: int, annotators: int | None, seconds: float
) -> Cost:
    """What a study asks of people.

    A person sees a picture once, in one of its items, so a picture needs as many people as it needs answers.

    Args:
        cells: Number of cells.
        items: Number of items of each picture.
        policy: How answers are collected.
        practice: Number of practice pictures.
        annotators: Number of people who can take part; None for as many as it takes.
        seconds: Seconds that an answer takes.

    Raises:
        StudyError: This number of people cannot fill the cells.
    """
    each = min(policy.pictures_per_annotator, len(items))
    answers = sum(items) * policy.annotators_per_cell
    for_a_picture = max(items) * policy.annotators_per_cell
    least = max(for_a_picture, math.ceil(answers / each))
    if annotators is not None and annotators < for_a_picture:
        raise StudyError(
            f"--annotators {annotators} cannot fill the cells: a picture is asked about in up to {max(items)} of them,"
            f" {policy.annotators_per_cell} people answer each, and a person sees a picture once, so"
            f" {for_a_picture} people are needed; find more people, or name fewer cells with --cell"
        )
    if annotators is not None and annotators < least:
        raise StudyError(
            f"--annotators {annotators} with at most {each} pictures each give {annotators * each} answers, and the"
            f" study needs {answers}; find {least} people, raise --per-annotator, or draw fewer pictures (--errors,"
            " --correct)"
        )
    people = least if annotators is None else annotators
    beside = people * (practice + policy.gold_per_annotator)
    hours = (answers + beside) * seconds / 3600
    return Cost(cells, len(items), sum(items), answers, least, people, beside, hours)
