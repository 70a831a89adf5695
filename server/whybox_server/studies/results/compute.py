"""From votes to an outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .agreement import krippendorff_alpha
from .contrasts import asked_contrasts, contrasts
from .counted_cells import Population, cell_outcomes
from .dawid_skene import STEPS, dawid_skene
from .outcome import (
    ANNOTATORS_UNKNOWN,
    ESTIMAND,
    EXTRAPOLATED,
    Agreement,
    Decision,
    Exclusions,
    Latent,
    LatentCell,
    Outcome,
    Sensitivity,
    Speed,
)
from .progress import FITTING, REDRAWING, Report, Steps, unheard
from .redraws import groups, shares, tied_otherwise
from .tally import counts, tally
from .votes import CANNOT_JUDGE, CORRECT, ERROR, MAYBE, NO, YES, Votes

_DECISIONS: tuple[Decision, ...] = ("accepted", "rejected")


class _Redrawing(TypedDict):
    seed: int
    redraws: int
    redrawn: Callable[[int], object]


@dataclass(frozen=True)
class Design:
    """What the protocol says about the counting of votes.

    Attributes:
        errors: Pictures of the data set that the model answers wrongly.
        correct: Pictures of the data set that the model answers rightly. One of the two is above 0.
        unasked_errors: Errors about which nobody could be asked, from 0 to `errors`. Weights speak for the others.
        unasked_correct: Correct answers about which nobody could be asked, from 0 to `correct`.
        maybe: What "maybe" counts as.
        ties: What a tied majority counts as.
        contrasts: Pairs of cells whose difference is registered; the first minus the second.
        gold_failures: Wrong gold answers of each annotator, int64 [A]; None without gold.
        gold_failures_allowed: An annotator with more of them is excluded.
        fastest_ms: Answers faster than this are marked.
    """

    errors: int
    correct: int
    unasked_errors: int = 0
    unasked_correct: int = 0
    maybe: Decision = "accepted"
    ties: Decision = "rejected"
    contrasts: tuple[tuple[str, str], ...] = ()
    gold_failures: NDArray[np.int64] | None = None
    gold_failures_allowed: int = 1
    fastest_ms: int = 300


def compute(votes: Votes, design: Design, *, seed: int, redraws: int, report: Report = unheard) -> Outcome:
    """Count votes, and say how sure the count is.

    Args:
        votes: What people said, gold and practice apart.
        design: How it counts.
        seed: Of the redraws; equal seeds give equal outcomes.
        redraws: Number of redraws behind each interval, at least 100.
        report: Is told how far the redraws and the fit of hidden classes are.

    Raises:
        ValueError: Nobody voted, a cell of a contrast is unknown, or a number is out of its range.
    """
    _check(votes, design, redraws)
    kept, exclusions = _without_excluded(votes, design)
    counted, once = counts(kept), counts(kept.once)
    if not counted.any():
        raise ValueError("nobody voted")
    population = Population(design.errors, design.correct, design.unasked_errors, design.unasked_correct)
    primary = (design.maybe, design.ties)
    policies: list[tuple[Decision, Decision]] = [(maybe, ties) for maybe in _DECISIONS for ties in _DECISIONS]
    asked, said = asked_contrasts(kept.questions.cells, design.contrasts), bool(np.any(kept.value == MAYBE))
    steps = Steps(report, REDRAWING, redraws * (1 + said + len(asked)))
    redrawing: _Redrawing = {"seed": seed, "redraws": redraws, "redrawn": steps.advance}
    found = {design.maybe: shares(kept, *primary, **redrawing)}
    for maybe in _DECISIONS:
        if maybe not in found:
            found[maybe] = shares(kept, maybe, design.ties, **redrawing) if said else found[design.maybe]
    cells = {
        (maybe, ties): cell_outcomes(kept, maybe, ties, tied_otherwise(found[maybe], kept, maybe, ties), population)
        for maybe, ties in policies
    }
    differences = contrasts(kept, asked, *primary, population, **redrawing)
    shown = [cell.accepted for cell in cells[primary]] + [contrast.difference for contrast in differences]
    return Outcome(
        estimand=ESTIMAND,
        left_out="" if kept.annotator is not None else ANNOTATORS_UNKNOWN,
        extrapolated=EXTRAPOLATED if any(estimate.extrapolated for estimate in shown) else "",
        seed=seed,
        redraws=redraws,
        errors=design.errors,
        correct=design.correct,
        standard_error=design.errors / population.pictures,
        votes=int(once.sum()),
        unasked_errors=design.unasked_errors,
        unasked_correct=design.unasked_correct,
        cells=tuple(cells[primary]),
        contrasts=tuple(differences),
        sensitivity=tuple(
            Sensitivity(cells[policy][row].cell, *policy, policy == primary, cells[policy][row].accepted)
            for row in range(len(cells[primary]))
            for policy in policies
        ),
        agreement=tuple(
            Agreement(
                "all_cells" if name is None else "cell",
                name,
                krippendorff_alpha(of),
                krippendorff_alpha(np.stack([of[:, NO], of[:, MAYBE] + of[:, YES]], axis=1)),
                int(of[of.sum(axis=1) >= 2].sum()),
            )
            for name, of in [
                (None, once),
                *(
                    (cell.cell, counted[kept.questions.cell == kept.questions.cells.index(cell.cell)])
                    for cell in cells[primary]
                ),
            ]
        ),
        dawid_skene=None if kept.annotator is None else _latent(kept, kept.annotator, design, population, report),
        exclusions=exclusions,
        speed=_speed(votes.once, design.fastest_ms),
    )


def _check(votes: Votes, design: Design, redraws: int) -> None:
    if redraws < 100:
        raise ValueError("redraws is below 100, too few for the ends of an interval")
    if design.errors + design.correct == 0:
        raise ValueError("errors and correct are both 0, so there is no picture to speak of")
    for name, unasked, pictures, stratum in (
        ("errors", design.unasked_errors, design.errors, ERROR),
        ("correct", design.unasked_correct, design.correct, CORRECT),
    ):
        if not 0 <= unasked <= pictures:
            raise ValueError(f"unasked_{name} is not from 0 to {name}, {pictures}")
        if unasked == pictures and np.any(votes.questions.stratum == stratum):
            raise ValueError(f"unasked_{name} is all {pictures} of {name}, but there are questions about them")
    for cell in votes.questions.cells:
        if cell.count("/") != 2:
            raise ValueError(f'the cell "{cell}" is not named "arm/version/label"')
    for cell in sorted({cell for pair in design.contrasts for cell in pair} - {*votes.questions.cells}):
        raise ValueError(f'a contrast names the cell "{cell}", which the study does not have')
    if np.any(votes.questions.weight <= 0):
        raise ValueError("a weight is not above 0")
    if design.gold_failures is not None:
        if votes.annotator is None:
            raise ValueError("gold_failures needs votes whose annotators are known")
        if len(design.gold_failures) <= votes.annotator.max(initial=-1):
            raise ValueError("gold_failures lacks an annotator who voted")


def _without_excluded(votes: Votes, design: Design) -> tuple[Votes, Exclusions]:
    """The votes of those who passed, and who did not."""
    if votes.annotator is None or design.gold_failures is None:
        number = None if votes.annotator is None else len(np.unique(votes.annotator))
        return votes, Exclusions(number, design.gold_failures_allowed, (), 0, 0)
    people = np.unique(votes.annotator)
    failures = design.gold_failures[people]
    excluded = people[failures > design.gold_failures_allowed]
    keep = ~np.isin(votes.annotator, excluded)
    return votes.only(keep), Exclusions(
        annotators=len(people),
        failures_allowed=design.gold_failures_allowed,
        failures=tuple(np.bincount(failures).tolist()),
        excluded=len(excluded),
        answers_dropped=len(votes.only(~keep).once.value),
    )


def _latent(
    votes: Votes, annotator: NDArray[np.int64], design: Design, population: Population, report: Report
) -> Latent:
    """Two hidden classes behind three answers, over all items. EM starts at the share of yes, maybe half."""
    counted = counts(votes)
    voted = counted.sum(axis=1) > 0
    first = votes.questions.first
    cast = (votes.value != CANNOT_JUDGE) & (first[votes.question] == votes.question)
    items, question = np.unique(votes.question[cast], return_inverse=True)
    people = np.unique(annotator[cast], return_inverse=True)[1]
    likely = counted[items] @ np.array([0.0, 0.5, 1.0]) / counted[items].sum(axis=1)
    start = np.stack([1 - likely, likely], axis=1)
    steps = Steps(report, FITTING, STEPS)
    fit = dawid_skene(question, people, votes.value[cast].astype(np.int64), start, 3, stepped=steps.advance)
    steps.finish()
    relevant = np.zeros(len(voted), bool)
    relevant[items] = fit.posterior[:, 1] > 0.5
    relevant = relevant[first]
    agrees = relevant == tally(counted, design.maybe).majority(design.ties)

    group, size = groups(votes), 2 * len(votes.questions.cells)
    weight = np.where(voted, votes.questions.weight, 0.0)
    total = np.bincount(group, weight, size)
    accepted = np.bincount(group, weight * relevant, size)
    cells = []
    for cell in np.unique(votes.questions.cell[voted]).tolist():
        share = {key: float(accepted[key] / total[key]) for key in (2 * cell + ERROR, 2 * cell + CORRECT) if total[key]}
        factors, constant = population.asking(2 * cell + ERROR in share, 2 * cell + CORRECT in share).of_cell(
            cell, votes.questions.cells[cell]
        )
        cells.append(
            LatentCell(
                cell=votes.questions.cells[cell],
                accepted_of_errors=share.get(2 * cell + ERROR),
                rejected_of_correct=1 - share[2 * cell + CORRECT] if 2 * cell + CORRECT in share else None,
                accepted=constant + sum(factor * share[key] for key, factor in factors.items()),
                agrees=float(agrees[voted & (votes.questions.cell == cell)].mean()),
            )
        )
    return Latent(tuple(cells), fit.iterations, fit.converged)


def _speed(votes: Votes, fastest_ms: int) -> Speed:
    known = np.empty(0) if votes.milliseconds is None else votes.milliseconds[np.isfinite(votes.milliseconds)]
    return Speed(
        fastest_ms=fastest_ms,
        timed=len(known),
        faster=int(np.count_nonzero(known < fastest_ms)),
        median_ms=float(np.median(known)) if len(known) else None,
    )
