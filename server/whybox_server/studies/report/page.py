"""results.html: one page that needs nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from whybox_server.studies.report.claims import ARMS, claims, in_words
from whybox_server.studies.report.document import NUMBERS
from whybox_server.studies.report.plots import Bar, agreement, forest, tallies
from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.outcome import Estimate, Outcome, Sensitivity
from whybox_server.studies.results.tally import counts, tally
from whybox_server.studies.results.votes import CORRECT, ERROR, MAYBE, NO, YES, Votes

PAGE = "results.html"
"""Name of the page in the folder of the results."""

_HOUSE = "whybox_server.audits.report.page"  # has the style of all pages
# The cell whose questions are listed, and the rows of each table of them.
_CELL, _QUESTIONS = "none/clean/model", 12
_LEAST_P = 0.001


@dataclass(frozen=True)
class Asked:
    """A question with its answers.

    Attributes:
        name: Its name.
        yes: Number of people who said yes.
        maybe: Number of people who said maybe.
        no: Number of people who said no.
    """

    name: str
    yes: int
    maybe: int
    no: int


@dataclass(frozen=True)
class Contested:
    """Questions on which people and the data set disagree.

    Attributes:
        title: What they are.
        rows: The clearest.
        whole: How many there are in all.
    """

    title: str
    rows: tuple[Asked, ...]
    whole: int


def write_page(folder: Path, subject: Subject, votes: Votes, outcome: Outcome) -> Path:
    """Writes `PAGE` and returns its path; the same results give the same bytes.

    Args:
        folder: Folder of the results.
        subject: What they are about.
        votes: The votes behind the outcome.
        outcome: What they say.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(__package__), PackageLoader(_HOUSE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "number": _number, "size": _size, "words": in_words}
    policy = next(row for row in outcome.sensitivity if row.primary)
    said = {int(value) for value in np.unique(votes.value)}
    values = {
        "subject": subject,
        "outcome": outcome,
        "claims": claims(subject, outcome),
        "arms": ARMS,
        "numbers": NUMBERS,
        "pictures": len(np.unique(votes.questions.picture)),
        "votes": outcome.votes,
        "with_foil": any(cell.cell.endswith("/foil") for cell in outcome.cells),
        "unjudged": any(cell.cannot_judge for cell in outcome.cells),
        "with_maybe": MAYBE in said,
        "policy": policy,
        "unasked": outcome.unasked_errors + outcome.unasked_correct,
        "plots": _plots(subject, votes, outcome),
        "sensitivity": _sensitivity(outcome, with_maybe=MAYBE in said),
        "agreement": outcome.agreement if len(outcome.cells) > 1 else outcome.agreement[:1],
        "contested": _contested(subject, votes, policy),
    }
    path = folder / PAGE
    part = folder / f"{PAGE}.part"
    part.write_text(environment.get_template("results.html").render(values), encoding="utf-8")
    part.replace(path)
    return path


def _plots(subject: Subject, votes: Votes, outcome: Outcome) -> dict[str, Any]:
    """The plots by their sections; those of the answers by their cells."""
    found: dict[str, Any] = {}
    if rows := claims(subject, outcome).errors:
        bars = [
            Bar(
                ARMS.get(row.arm, row.arm),
                row.rectified.estimate,
                row.rectified.low,
                row.rectified.high,
                other=row.standard,
                bounds=(row.rectified_at_least, row.rectified_at_most),
            )
            for row in rows
        ]
        words = "; ".join(
            f"{bar.name}: standard error {_percent(row.standard)}, rectified {_interval(row.rectified)}"
            for bar, row in zip(bars, rows, strict=True)
        )
        found["errors"] = forest(bars, "error of the model", words)
    bars = [
        Bar(
            in_words(cell),
            cell.accepted.estimate,
            cell.accepted.low,
            cell.accepted.high,
            bounds=(cell.accepted_at_least, cell.accepted_at_most),
        )
        for cell in outcome.cells
    ]
    words = "; ".join(f"{in_words(cell)}: accepted {_interval(cell.accepted)}" for cell in outcome.cells)
    found["accepted"] = forest(bars, "accepted by people", words)
    if outcome.contrasts:
        bars = [
            Bar(row.name, row.difference.estimate, row.difference.low, row.difference.high, filled=row.registered)
            for row in outcome.contrasts
        ]
        words = "; ".join(f"{row.name}: {_points(row.difference.estimate)} points" for row in outcome.contrasts)
        found["contrasts"] = forest(bars, "difference in points of the accepted share", words, signed=True)
    alphas = [
        ("all cells" if row.cell is None else in_words(row.cell), row.alpha, row.alpha_no_against_rest)
        for row in (outcome.agreement if len(outcome.cells) > 1 else outcome.agreement[:1])
        if row.alpha is not None and row.alpha_no_against_rest is not None
    ]
    if alphas:
        found["agreement"] = agreement(alphas, "; ".join(f"{name}: alpha {alpha:.3f}" for name, alpha, _ in alphas))
    found["answers"] = {
        cell.cell: tallies(
            votes,
            votes.questions.cells.index(cell.cell),
            f"{in_words(cell)}: answers to {cell.questions} questions, sorted from all yes to all no",
        )
        for cell in outcome.cells
    }
    return found


def _sensitivity(outcome: Outcome, *, with_maybe: bool) -> list[Sensitivity]:
    """The rows that can differ: "maybe" counts only if people say it, and ties only if there are any."""
    policy = next(row for row in outcome.sensitivity if row.primary)
    majorities = {(row.cell, row.maybe, row.ties): row.accepted.majority for row in outcome.sensitivity}
    return [
        row
        for row in outcome.sensitivity
        if (with_maybe or row.maybe == policy.maybe)
        and (
            row.ties == policy.ties
            or majorities[row.cell, row.maybe, row.ties] != majorities[row.cell, row.maybe, policy.ties]
        )
    ]


def _contested(subject: Subject, votes: Votes, policy: Sensitivity) -> list[Contested]:
    """Errors that people accept most clearly, and correct answers that they reject most clearly; no explanation."""
    if _CELL not in votes.questions.cells or not subject.model:
        return []
    counted = counts(votes)
    tallied = tally(counted, policy.maybe)
    accepted, asked = tallied.majority(policy.ties), votes.questions.cell == votes.questions.cells.index(_CELL)
    # A yes counts more than a maybe, which counts more than a no.
    sure = counted[:, YES] - counted[:, NO]
    found = []
    for title, stratum, sign in (
        ("Errors that people accept", ERROR, 1),
        ("Correct answers that people reject", CORRECT, -1),
    ):
        decided = accepted if stratum == ERROR else ~accepted
        rows = np.flatnonzero(asked & (tallied.votes > 0) & (votes.questions.stratum == stratum) & decided)
        best = rows[np.argsort(-sign * sure[rows], kind="stable")][:_QUESTIONS]
        questions = tuple(
            Asked(votes.questions.names[row], *(int(number) for number in counted[row, [YES, MAYBE, NO]]))
            for row in best
        )
        found.append(Contested(title, questions, len(rows)))
    return found


def _interval(estimate: Estimate) -> str:
    return f"{_percent(estimate.estimate)} ({_percent(estimate.low)} to {_percent(estimate.high)})"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def _points(difference: float) -> str:
    return f"{difference * 100:+.1f}".replace("-", "\N{MINUS SIGN}")


def _number(number: int) -> str:
    return f"{number:,}"


def _size(value: float) -> str:
    """A p-value: two digits, and never 0."""
    return f"{value:.2g}" if value >= _LEAST_P else f"< {_LEAST_P}"
