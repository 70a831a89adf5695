"""The claims of the paper as tables: its error counts once people have judged it."""

from dataclasses import dataclass

from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.outcome import CellOutcome, Estimate, Outcome

ARMS = {"none": "no explanation", "feature": "where the model looked", "example": "nearest pictures"}
"""The arms in words."""

_VERSIONS = {"clean": "clean pictures", "adversarial": "adversarial pictures"}
_ASKED = {"model": "the model's label", "given": "the data set's label", "foil": "a foil's label"}


@dataclass(frozen=True)
class ErrorRow:
    """Standard and rectified error of the model on clean pictures.

    Attributes:
        arm: What people saw beside the picture.
        standard: By the data set's labels.
        rectified: By people.
        rectified_at_least: The estimate of `rectified`, had people accepted all that was never asked.
        rectified_at_most: The same, had people rejected all of that; both are the estimate itself if all was asked.
    """

    arm: str
    standard: float
    rectified: Estimate
    rectified_at_least: float
    rectified_at_most: float


@dataclass(frozen=True)
class AcceptedRow:
    """How many adversarial answers people accept.

    Attributes:
        arm: What people saw beside the picture.
        accepted: The accepted share.
    """

    arm: str
    accepted: Estimate


@dataclass(frozen=True)
class Claims:
    """The claims of the paper.

    Attributes:
        errors: One row for each arm with clean pictures and the model's label.
        adversarial: One row for each arm with adversarial pictures and the model's label.
    """

    errors: tuple[ErrorRow, ...]
    adversarial: tuple[AcceptedRow, ...]


def claims(subject: Subject, outcome: Outcome) -> Claims:
    """The claims; empty without a model."""
    named = [(cell, cell.cell.split("/")) for cell in outcome.cells if subject.model]
    errors = tuple(
        ErrorRow(arm, cell.standard_error, cell.rectified, 1 - cell.accepted_at_most, 1 - cell.accepted_at_least)
        for cell, (arm, version, asked) in named
        if (version, asked) == ("clean", "model") and cell.rectified is not None
    )
    adversarial = tuple(
        AcceptedRow(arm, cell.accepted)
        for cell, (arm, version, asked) in named
        if (version, asked) == ("adversarial", "model")
    )
    return Claims(errors, adversarial)


def in_words(cell: CellOutcome | str) -> str:
    """Such as "no explanation, clean pictures, the model's label"."""
    arm, version, asked = (cell if isinstance(cell, str) else cell.cell).split("/")
    return ", ".join((ARMS.get(arm, arm), _VERSIONS.get(version, version), _ASKED.get(asked, f"a {asked} label")))
