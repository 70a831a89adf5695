"""How many pictures, annotators and hours a study needs."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .fresh_majority import FIVE, P, majority_of_five, mixing_distribution
from .outcome import Decision
from .redraws import shares
from .tally import counts, tally
from .votes import Votes

MOST_PICTURES = 1_000_000
"""Plans end here."""


@dataclass(frozen=True)
class Components:
    """Variance of a fresh majority of five (0: rejects, 1: accepts) by its sources.

    Attributes:
        picture: Variance of m(p) between pictures.
        votes: Mean of m(p) (1 - m(p)), what five votes add to each picture.
        annotator: Variance that A people, who answer equally many questions, add to the mean of many pictures, times A.
    """

    picture: float
    votes: float
    annotator: float


REAL = Components(picture=0.106, votes=0.043, annotator=0.00057)
"""Components of ReaL: 184,962 questions about labels of ImageNet's validation pictures, five votes each of 85 raters,
with maybe as yes (Beyer et al. 2020, "Are we done with ImageNet?"). `components` estimated them from `raters.npz`; with
maybe as no they are 0.068, 0.027 and 0.00055. The raters were trained, so a crowd from a platform has a larger
annotator component: the simulated crowd of `tests/crowds.py`, a tenth of which is spam, has 0.02."""


def components(votes: Votes, maybe: Decision) -> Components:
    """Estimate components from votes as if of one group; annotators must be known.

    The variance between pictures and that of votes are moments of the distribution of p in `FreshMajority`; the
    annotators' is their covariance in `shares`, divided by the sum of squares of their shares of the votes.

    Raises:
        ValueError: It is unknown who gave which vote, or there are two groups.
    """
    if votes.annotator is None:
        raise ValueError("components needs votes whose annotators are known")
    if np.unique(2 * votes.questions.cell + votes.questions.stratum).size != 1:
        raise ValueError("components needs questions of one stratum of one cell")
    counted = tally(counts(votes), maybe)
    voted = counted.votes > 0
    mass, fresh = mixing_distribution(counted.accepting[voted], counted.votes[voted]), majority_of_five(P)
    group = int(2 * votes.questions.cell[0] + votes.questions.stratum[0])
    covariance = shares(votes, maybe, "rejected", seed=0, redraws=1).annotators[group, group]
    part = np.bincount(votes.annotator) / len(votes.annotator)
    return Components(
        picture=float(mass @ fresh**2 - (mass @ fresh) ** 2),
        votes=float(mass @ (fresh * (1 - fresh))),
        annotator=float(max(covariance, 0.0) / (part**2).sum()),
    )


@dataclass(frozen=True)
class Workload:
    """How people work.

    Attributes:
        cells: Cells that each picture is shown in, at least 1.
        votes: People who answer each picture in each cell, at least 5.
        pictures_per_annotator: Pictures that one person answers, at least 1; each in one cell.
        seconds: Time for an answer, above 0.
        minutes: Time of each person for consent, instructions and practice, at least 0.
    """

    cells: int = 1
    votes: int = FIVE
    pictures_per_annotator: int = 60
    seconds: float = 6.0
    minutes: float = 3.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("cells", self.cells, 1),
            ("votes", self.votes, FIVE),
            ("pictures_per_annotator", self.pictures_per_annotator, 1),
        ):
            if value < least:
                raise ValueError(f"{name} is below {least}")
        if not self.seconds > 0:
            raise ValueError("seconds is not above 0")
        if not self.minutes >= 0:
            raise ValueError("minutes is not 0 or more")


@dataclass(frozen=True)
class Plan:
    """The smallest study that suffices.

    Attributes:
        pictures: Number of pictures.
        errors: Those in the stratum of errors.
        correct: Those in the stratum of correct answers.
        annotators: Number of people.
        answers: Number of answers, practice and gold apart.
        hours: Time of all people together.
        half_width: Half of the interval for 95 % of the rectified error of one cell, as it will be.
        detectable: Difference between two arms that is found with the asked power; None with one cell.
    """

    pictures: int
    errors: int
    correct: int
    annotators: int
    answers: int
    hours: float
    half_width: float
    detectable: float | None


def plan(
    error: float,
    *,
    half_width: float | None = None,
    difference: float | None = None,
    share_errors: float = 0.5,
    power: float = 0.8,
    contrasts: int = 1,
    alike: float = 0.5,
    workload: Workload | None = None,
    of: Components = REAL,
) -> Plan:
    """The smallest study whose interval, or whose test of a difference between arms, is good enough.

    With N pictures, a share q of them errors, e the error, n votes, A annotators and the components s2_picture,
    s2_votes and s2_annotator, the variance of the rectified error is

        V = f (s2_picture + s2_votes 5 / n) + s2_annotator / A,   f = (e^2 / q + (1 - e)^2 / (1 - q)) / N,

    and that of a difference between two arms on the same pictures, whose answers share a part `alike` of what pictures
    and annotators add, V_d = 2 f ((1 - alike) s2_picture + s2_votes 5 / n) + 2 (1 - alike) s2_annotator / A. The
    half-width is z_0.975 sqrt(V). A difference is found with the power b by a two-sided test at 0.05 / contrasts,
    Holm's first step, if it is (z_(1 - 0.025 / contrasts) + z_b) sqrt(V_d).

    Args:
        error: Error e of the model, between 0 and 1.
        half_width: Largest half-width of the rectified error, above 0.
        difference: Smallest difference between two arms to be found, above 0; needs two cells.
        share_errors: Share q of pictures in the stratum of errors, between 0 and 1.
        power: Chance to find the difference, between 0 and 1.
        contrasts: Number of registered contrasts, at least 1.
        alike: Correlation between two arms of what a picture, or a person, adds, from 0 to 1. It is an assumption: ReaL
            has no arms.
        workload: How people work; None for the defaults.
        of: Components of the variance.

    Raises:
        ValueError: Neither a half-width nor a difference is asked for, a number is out of its range, or a million
            pictures do not suffice.
    """
    workload = workload or Workload()
    if half_width is None and difference is None:
        raise ValueError("give half_width, difference, or both")
    for name, value in (("error", error), ("share_errors", share_errors), ("power", power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is not between 0 and 1")
    for name, asked in (("half_width", half_width), ("difference", difference)):
        if asked is not None and not asked > 0:
            raise ValueError(f"{name} is not above 0")
    if not 0 <= alike <= 1:
        raise ValueError("alike is not from 0 to 1")
    if contrasts < 1:
        raise ValueError("contrasts is below 1")
    if difference is not None and workload.cells < 2:
        raise ValueError("a difference between arms needs two cells or more")

    pictures = np.arange(2, MOST_PICTURES + 1)
    errors = np.clip(np.round(pictures * share_errors), 1, pictures - 1)
    answers = pictures * workload.cells * workload.votes
    annotators = np.maximum(-(-answers // workload.pictures_per_annotator), workload.cells * workload.votes)
    f = error**2 / errors + (1 - error) ** 2 / (pictures - errors)
    votes = of.votes * FIVE / workload.votes
    width = stats.norm.ppf(0.975) * np.sqrt(f * (of.picture + votes) + of.annotator / annotators)
    variance = 2 * f * ((1 - alike) * of.picture + votes) + 2 * (1 - alike) * of.annotator / annotators
    detectable = (stats.norm.ppf(1 - 0.025 / contrasts) + stats.norm.ppf(power)) * np.sqrt(variance)
    enough = np.full(len(pictures), True)
    if half_width is not None:
        enough &= width <= half_width
    if difference is not None:
        enough &= detectable <= difference
    if not enough.any():
        raise ValueError(f"{MOST_PICTURES:,} pictures do not suffice; ask for less")
    first = int(np.argmax(enough))
    return Plan(
        pictures=int(pictures[first]),
        errors=int(errors[first]),
        correct=int(pictures[first] - errors[first]),
        annotators=int(annotators[first]),
        answers=int(answers[first]),
        hours=float(answers[first] * workload.seconds / 3600 + annotators[first] * workload.minutes / 60),
        half_width=float(width[first]),
        detectable=float(detectable[first]) if workload.cells > 1 else None,
    )
