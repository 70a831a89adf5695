"""Simulated crowds: pictures and people with known truth answer a study."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from whybox_server.studies.results.compute import Design
from whybox_server.studies.results.votes import CORRECT, ERROR, NO, YES, Questions, Votes

PICTURES, VOTES = 200, 5
SPAMMERS = 0.1
QUITTERS = 0.2
"""Share of people who stop at a uniformly random point of their work; their votes are not collected again."""

ERRORS, ANSWERS_RIGHT = 300, 700
"""Pictures of the data set; half of the 200 come from each stratum."""
RELEVANT = {ERROR: 0.4, CORRECT: 0.92}
"""Share of pictures whose label is truly relevant."""

CELL = "none/clean/model"


@dataclass(frozen=True)
class Truth:
    """Rejected shares over the strata of the data set: what a fresh majority says, and what is true."""

    fresh_majority: float
    irrelevance: float


def crowd(
    people: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Ability, leaning to yes, and the chance of yes of spammers (NaN for all others), of each person."""
    ability = rng.lognormal(0.3, 0.4, people)
    leaning = rng.normal(0.2, 0.6, people)
    spam = np.where(rng.random(people) < SPAMMERS, rng.choice([0.0, 0.5, 1.0], people), np.nan)
    return ability, leaning, spam


def clarity(stratum: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.float64]:
    """How clearly the label fits each picture: above 0 if it is relevant."""
    relevant = rng.random(len(stratum)) < np.where(stratum == ERROR, RELEVANT[ERROR], RELEVANT[CORRECT])
    return np.where(relevant, 1.0, -1.0) * rng.gamma(1.5, 1.0, len(stratum))


def chance(
    clear: NDArray[np.float64], ability: NDArray[np.float64], leaning: NDArray[np.float64], spam: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Chance that a person says yes of a picture."""
    return np.where(np.isnan(spam), special.expit(ability * clear + leaning), spam)


@cache
def truth() -> Truth:
    """By numbers large enough to be exact beside the noise of 1,000 studies."""
    rng = np.random.default_rng(0)
    ability, leaning, spam = crowd(200_000, rng)
    grid = np.linspace(-12, 12, 481)
    p = np.array([chance(np.array(clear), ability, leaning, spam).mean() for clear in grid])
    fresh = stats.binom.sf(2, 5, p)
    quantiles = stats.gamma.ppf((np.arange(4000) + 0.5) / 4000, 1.5)
    yes, no = np.interp(quantiles, grid, fresh).mean(), np.interp(-quantiles, grid, fresh).mean()
    share = {ERROR: ERRORS / (ERRORS + ANSWERS_RIGHT), CORRECT: ANSWERS_RIGHT / (ERRORS + ANSWERS_RIGHT)}
    return Truth(
        fresh_majority=float(sum(share[s] * (1 - RELEVANT[s] * yes - (1 - RELEVANT[s]) * no) for s in share)),
        irrelevance=float(sum(share[s] * (1 - RELEVANT[s]) for s in share)),
    )


def study(people: int, rng: np.random.Generator) -> tuple[Votes, Design]:
    """One study with fresh pictures and fresh people: each picture goes to five of them, and all have equal work."""
    stratum = np.repeat(np.array([ERROR, CORRECT], np.int8), PICTURES // 2)
    clear = clarity(stratum, rng)
    ability, leaning, spam = crowd(people, rng)
    # Five neighbours on a circle of people in random order, a new order for every round of the circle.
    rounds = -(-PICTURES * VOTES // people)
    turns = np.stack([rng.permutation(people) for _ in range(rounds)]).reshape(-1, VOTES)[:PICTURES]
    annotator = turns[rng.permutation(PICTURES)].reshape(-1)
    question = np.repeat(np.arange(PICTURES), VOTES)
    yes = rng.random(len(question)) < chance(clear[question], ability[annotator], leaning[annotator], spam[annotator])
    # The order of a person's work is the order of a random number.
    work = np.where(rng.random(people) < QUITTERS, rng.random(people), 1.0)
    done = rng.random(len(question)) < work[annotator]
    votes = Votes(
        question[done],
        annotator[done],
        np.where(yes, YES, NO).astype(np.int8)[done],
        Questions(
            picture=np.arange(PICTURES),
            cell=np.zeros(PICTURES, np.int64),
            stratum=stratum,
            weight=np.where(stratum == ERROR, ERRORS, ANSWERS_RIGHT) / (PICTURES / 2),
            names=tuple(map(str, range(PICTURES))),
            cells=(CELL,),
        ),
    )
    return votes, Design(errors=ERRORS, correct=ANSWERS_RIGHT)
