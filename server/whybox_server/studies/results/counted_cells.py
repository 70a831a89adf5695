"""What people said in each cell."""

from dataclasses import dataclass

import numpy as np

from .outcome import CellOutcome, Decision, Estimate
from .redraws import Shares, groups
from .tally import counts, tally
from .votes import CANNOT_JUDGE, CORRECT, ERROR, Votes


@dataclass(frozen=True)
class Population:
    """The pictures of the data set.

    Attributes:
        errors: Those that the model answers wrongly.
        correct: Those that the model answers rightly.
        unasked_errors: Errors about which nobody could be asked; they count as rejected.
        unasked_correct: Correct answers about which nobody could be asked; they count as accepted.
    """

    errors: int
    correct: int
    unasked_errors: int
    unasked_correct: int

    @property
    def pictures(self) -> int:
        """All of them."""
        return self.errors + self.correct

    def asking(self, errors: bool, correct: bool) -> "Population":
        """The same, with a whole stratum unasked if no picture of it has a vote."""
        return Population(
            self.errors,
            self.correct,
            self.unasked_errors if errors else self.errors,
            self.unasked_correct if correct else self.correct,
        )

    def accepted(self, cell: int) -> tuple[dict[int, float], float]:
        """The accepted share of all pictures: factor of the share of each group of a cell, and the constant."""
        factors = {group: share * self._asked / self.pictures for group, share in self.accepted_of_asked(cell).items()}
        return factors, self.unasked_correct / self.pictures

    def accepted_of_asked(self, cell: int) -> dict[int, float]:
        """The accepted share of the pictures that were asked about: factor of the share of each group of a cell."""
        asked = {
            2 * cell + ERROR: self.errors - self.unasked_errors,
            2 * cell + CORRECT: self.correct - self.unasked_correct,
        }
        return {group: number / self._asked for group, number in asked.items() if number}

    def of_cell(self, cell: int, name: str) -> tuple[dict[int, float], float]:
        """What is called accepted in a cell: factors and constant.

        It is of all pictures where people judge the model's answers to clean ones, because the rectified error is.
        Elsewhere the data set does not say what an unasked answer counts as, so it is of the pictures asked about.
        """
        return self.accepted(cell) if of_clean_answers(name) else (self.accepted_of_asked(cell), 0.0)

    @property
    def _asked(self) -> int:
        return self.pictures - self.unasked_errors - self.unasked_correct


def of_clean_answers(cell: str) -> bool:
    """Whether people judge the model's answers to clean pictures in this cell."""
    return cell.split("/")[1:] == ["clean", "model"]


def cell_outcomes(
    votes: Votes, maybe: Decision, ties: Decision, found: Shares, population: Population
) -> list[CellOutcome]:
    """What people said in each cell that has a vote."""
    cells = votes.questions.cells
    counted = tally(counts(votes), maybe)
    majority, voted, group = counted.majority(ties), counted.votes > 0, groups(votes)
    unjudged = np.bincount(votes.questions.cell[votes.question[votes.value == CANNOT_JUDGE]], minlength=len(cells))
    outcomes = []
    for cell in np.unique(votes.questions.cell[voted]).tolist():
        here = votes.questions.cell == cell
        errors, correct = 2 * cell + ERROR, 2 * cell + CORRECT
        asked = {one: int(np.count_nonzero(voted & (group == one))) for one in (errors, correct)}
        of = population.asking(asked[errors] > 0, asked[correct] > 0)
        factors, constant = of.of_cell(cell, cells[cell])
        whole = of_clean_answers(cells[cell])
        accepted = found.combine(factors, constant)
        _, version, label = cells[cell].split("/")
        outcomes.append(
            CellOutcome(
                cell=cells[cell],
                questions=int(np.count_nonzero(here & voted)),
                without_votes=int(np.count_nonzero(here & ~voted)),
                votes=int(counted.votes[here].sum()),
                cannot_judge=int(unjudged[cell]),
                asked_errors=asked[errors],
                asked_correct=asked[correct],
                majority_accepted_errors=int(np.count_nonzero(majority & voted & (group == errors))),
                majority_rejected_correct=int(np.count_nonzero(~majority & voted & (group == correct))),
                standard_error=1.0 if version == "adversarial" else of.errors / of.pictures,
                accepted_of_errors=found.combine({errors: 1.0}) if asked[errors] else None,
                rejected_of_correct=found.combine({correct: -1.0}, 1.0) if asked[correct] else None,
                accepted=accepted,
                rectified=_rejected(found, factors, constant) if label == "model" else None,
                accepted_at_least=accepted.estimate - (of.unasked_correct / of.pictures if whole else 0.0),
                accepted_at_most=accepted.estimate + (of.unasked_errors / of.pictures if whole else 0.0),
            )
        )
    return outcomes


def _rejected(found: Shares, factors: dict[int, float], constant: float) -> Estimate:
    return found.combine({group: -factor for group, factor in factors.items()}, 1 - constant)
