"""What the answers of a study say, as values: `compute` makes them, `results.json` holds them.

All shares and differences are fractions (0.27 is 27 %). "Accepted" is the share of the model's answers that people find
relevant, and the rectified error is the share that they reject.
"""

from dataclasses import dataclass
from typing import Literal

Decision = Literal["rejected", "accepted"]
"""What a vote or a tie counts as."""

Scope = Literal["all_cells", "cell"]
"""What an agreement is over."""

ESTIMAND = (
    "The estimand is what a fresh majority of five people of the same crowd would say of pictures from the same "
    "source, at the model's error on this data set. Each interval is for 95 %, by itself."
)
"""What every estimate is of; it stands beside every interval."""

ANNOTATORS_UNKNOWN = (
    "It is unknown who gave which answer. The intervals take each picture as one cluster and leave out that the "
    "answers of one person resemble each other, so they are too narrow for another crowd."
)
"""What the intervals leave out where people are unknown."""

EXTRAPOLATED = (
    "Too few questions have five votes (fewer than 20, and fewer than half, of a stratum). The estimates marked as "
    "extrapolated follow from a distribution fitted to fewer votes; they may be biased, and their intervals leave that "
    "out."
)
"""What stands beside estimates with `Estimate.extrapolated`."""


@dataclass(frozen=True)
class Estimate:
    """A share between 0 and 1, or a difference of two between -1 and 1.

    Attributes:
        estimate: Corrected estimate of the estimand.
        low: Lower end of the interval for 95 %.
        high: Upper end of the interval for 95 %.
        standard_error: Standard deviation of the estimate, above 0; the interval is wider than a normal one of it where
            annotators or pictures are few.
        majority: The same from the majority of the votes that there are, uncorrected.
        corrected_by: `estimate` - `majority`; 0 if every question has five votes.
        retaking_bias: What retaking the majority on resampled votes would add to `majority` on average; the redraws
            do not retake it, and are free of it.
        extrapolated: Whether one of its strata has fewer than 20 questions with five votes, and fewer than half. What
            five people would say then follows from a distribution fitted to fewer votes; the estimate may be biased,
            and the interval leaves that out.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    majority: float
    corrected_by: float
    retaking_bias: float
    extrapolated: bool


@dataclass(frozen=True)
class CellOutcome:
    """What people said in one cell.

    Attributes:
        cell: Its name, such as "feature/clean/model".
        questions: Number of questions with at least one vote.
        without_votes: Number of questions without a vote, which are left out; 0 if people could judge all.
        votes: Number of votes; "cannot judge" is none.
        cannot_judge: Number of answers that the picture cannot be judged.
        asked_errors: Questions with a vote in the stratum of errors.
        asked_correct: Questions with a vote in the stratum of correct answers.
        majority_accepted_errors: Errors that the majority accepts: a count of questions, unweighted.
        majority_rejected_correct: Correct answers that the majority rejects: a count of questions, unweighted.
        standard_error: Error of the model in this cell by the data set's labels. It is 1 in an adversarial cell, whose
            answers are wrong by construction.
        accepted_of_errors: Share that people accept of the pictures in the stratum of errors that are asked about;
            None without a question.
        rejected_of_correct: Share that people reject of the pictures in the stratum of correct answers that are
            asked about; None without a question.
        accepted: Share that people accept. Of the model's answers to clean pictures it is 1 - `rectified`: of all
            pictures of the data set, unasked errors rejected and unasked correct answers accepted. In other cells it
            is of the pictures of the strata that are asked about, in their shares of the data set: the acceptance of
            adversarial answers, of foils (persuasion), or of the data set's labels.
        rectified: Error x (1 - accepted of errors) + (1 - error) x rejected of correct; the rejected share, 1 -
            `accepted`, in an adversarial cell. None where another label than the model's is asked about.
        accepted_at_least: The estimate of `accepted`, had people rejected all that was never asked.
        accepted_at_most: The same, had people accepted all of that. Both are the estimate itself if all was asked, and
            in cells of other answers than the model's to clean pictures. The rectified error lies between 1 -
            `accepted_at_most` and 1 - `accepted_at_least`.
    """

    cell: str
    questions: int
    without_votes: int
    votes: int
    cannot_judge: int
    asked_errors: int
    asked_correct: int
    majority_accepted_errors: int
    majority_rejected_correct: int
    standard_error: float
    accepted_of_errors: Estimate | None
    rejected_of_correct: Estimate | None
    accepted: Estimate
    rectified: Estimate | None
    accepted_at_least: float
    accepted_at_most: float


@dataclass(frozen=True)
class Contrast:
    """A difference in the accepted share on the pictures that all its cells have.

    Strata count by their shares of the data set; one without such a picture is left out.

    Attributes:
        name: Such as "feature/clean/model - none/clean/model".
        plus: Cells that count with +1.
        minus: Cells that count with -1. A difference of differences has two on each side.
        registered: Whether the protocol names it; all others are exploratory. A difference of differences is registered
            if both its differences are.
        pictures: Number of pictures that all its cells have.
        difference: The difference; above 0 if people accept more in `plus`.
        p: Two-sided p-value of no difference, uncorrected.
        p_holm: p-value after Holm over the registered contrasts; None if exploratory.
    """

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    registered: bool
    pictures: int
    difference: Estimate
    p: float
    p_holm: float | None


@dataclass(frozen=True)
class Sensitivity:
    """The accepted share of a cell, had "maybe" and ties counted otherwise.

    Attributes:
        cell: Name of the cell.
        maybe: What "maybe" counts as.
        ties: What a tied majority counts as; a majority of five has no ties, so it moves `majority` only.
        primary: Whether this is the protocol's policy.
        accepted: The accepted share; the rectified error is 1 minus it.
    """

    cell: str
    maybe: Decision
    ties: Decision
    primary: bool
    accepted: Estimate


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha for nominal values: 1 is perfect, 0 as by chance, below 0 worse.

    Attributes:
        scope: "all_cells" for the votes of all cells together, "cell" for those of one.
        cell: Name of the cell; None over all cells.
        alpha: Over no, maybe and yes; None if nobody disagrees because all gave the same answer, or nothing can be
            compared.
        alpha_no_against_rest: With maybe counted as yes; None likewise.
        votes: Votes that can be compared: those of questions with two votes or more. Over all cells, the votes about an
            item that stands for several cells count once.
    """

    scope: Scope
    cell: str | None
    alpha: float | None
    alpha_no_against_rest: float | None
    votes: int


@dataclass(frozen=True)
class LatentCell:
    """A cell by Dawid and Skene instead of the majority; point estimates.

    Attributes:
        cell: Name of the cell.
        accepted_of_errors: As in `CellOutcome`; None without a question.
        rejected_of_correct: As in `CellOutcome`; None without a question.
        accepted: As in `CellOutcome`.
        agrees: Share of the questions on which it agrees with the majority.
    """

    cell: str
    accepted_of_errors: float | None
    rejected_of_correct: float | None
    accepted: float
    agrees: float


@dataclass(frozen=True)
class Latent:
    """Dawid and Skene's model over all cells: what is relevant, had people's errors been undone.

    A vote about an item that stands for several cells counts once. The model has another estimand than the majority:
    the hidden class, rather than what people say.

    Attributes:
        cells: One for each cell with a vote.
        iterations: Steps of EM.
        converged: Whether the mean log-likelihood of a vote grew by less than the tolerance at the end.
    """

    cells: tuple[LatentCell, ...]
    iterations: int
    converged: bool


@dataclass(frozen=True)
class Exclusions:
    """Who failed the gold questions, as registered.

    Attributes:
        annotators: Number of people who answered; None where people are unknown.
        failures_allowed: A person with more wrong gold answers is excluded.
        failures: Number of people with 0, 1, 2 … wrong gold answers; empty without gold.
        excluded: Number of people excluded, with all that they said.
        answers_dropped: Number of their answers about items.
    """

    annotators: int | None
    failures_allowed: int
    failures: tuple[int, ...]
    excluded: int
    answers_dropped: int


@dataclass(frozen=True)
class Speed:
    """Answers faster than the registered minimum. They are marked, and count.

    Attributes:
        fastest_ms: The minimum in milliseconds.
        timed: Number of answers whose time is known.
        faster: Number of answers below the minimum.
        median_ms: Median time in milliseconds; None if no time is known.
    """

    fastest_ms: int
    timed: int
    faster: int
    median_ms: float | None


@dataclass(frozen=True)
class Outcome:
    """All that the answers say.

    Attributes:
        estimand: What the estimates are of.
        left_out: What the intervals leave out; "" if people are known.
        extrapolated: What the estimates with `Estimate.extrapolated` are; "" without any.
        seed: Of the redraws.
        redraws: Number of them.
        errors: Pictures of the data set that the model answers wrongly.
        correct: Pictures of the data set that the model answers rightly.
        standard_error: Error of the model on the data set.
        votes: Number of votes that count; one about an item that stands for several cells is one vote.
        unasked_errors: Errors about which nobody could be asked; they count as rejected.
        unasked_correct: Correct answers about which nobody could be asked; they count as accepted.
        cells: One for each cell with a vote, in the order of the protocol.
        contrasts: Registered ones first.
        sensitivity: Four for each cell.
        agreement: Over all cells, then for each cell.
        dawid_skene: None where people are unknown.
        exclusions: Who was excluded.
        speed: Which answers were fast.
    """

    estimand: str
    left_out: str
    extrapolated: str
    seed: int
    redraws: int
    errors: int
    correct: int
    standard_error: float
    votes: int
    unasked_errors: int
    unasked_correct: int
    cells: tuple[CellOutcome, ...]
    contrasts: tuple[Contrast, ...]
    sensitivity: tuple[Sensitivity, ...]
    agreement: tuple[Agreement, ...]
    dawid_skene: Latent | None
    exclusions: Exclusions
    speed: Speed
