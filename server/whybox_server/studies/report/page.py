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
from whybox_server.studies.results.outcome import Estimate, Outcome
from whybox_server.studies.results.votes import CORRECT, ERROR, MAYBE, NO, YES, Votes

PAGE = "results.html"
"""Name of the page in the folder of the results."""

_HOUSE = "whybox_server.audits.report.page"  # has the style of all pages
# The cell whose questions are listed, and the rows of each table of them.
CELL, _QUESTIONS = "none/clean/model", 12
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
    said = {int(value) for value in np.unique(votes.value)}
    values = {
        "subject": subject,
        "outcome": outcome,
        "claims": claims(subject, outcome),
        "arms": ARMS,
        "numbers": NUMBERS,
        "pictures": len(np.unique(votes.questions.picture)),
        "votes": sum(cell.votes for cell in outcome.cells),
        "with_maybe": MAYBE in said,
        "policy": next(row for row in outcome.sensitivity if row.primary),
        "plots": _plots(subject, votes, outcome),
        "sensitivity": [row for row in outcome.sensitivity if row.primary or MAYBE in said],
        "contested": _contested(subject, votes),
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
            bounds=(cell.lowest, cell.highest),
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
        (in_words(row.cell) if row.cell else "all cells", row.alpha, row.alpha_no_against_rest)
        for row in outcome.agreement
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


def _contested(subject: Subject, votes: Votes) -> dict[str, list[Asked]]:
    """Errors that people accept most clearly, and correct answers that they reject most clearly; no explanation."""
    if CELL not in votes.questions.cells or not subject.model:
        return {}
    cell = votes.questions.cells.index(CELL)
    counts = {
        value: np.bincount(votes.question[votes.value == value], minlength=len(votes.questions.names))
        for value in (YES, MAYBE, NO)
    }
    asked = (votes.questions.cell == cell) & (sum(counts.values()) > 0)
    found = {}
    for title, stratum, sign in (
        ("Errors that people accept", ERROR, 1),
        ("Correct answers that people reject", CORRECT, -1),
    ):
        sure = sign * (2 * counts[YES] + counts[MAYBE] - 2 * counts[NO])
        rows = np.flatnonzero(
            asked & (votes.questions.stratum == stratum) & (sign * (counts[YES] + counts[MAYBE] - counts[NO]) > 0)
        )
        best = rows[np.argsort(-sure[rows], kind="stable")][:_QUESTIONS]
        found[title] = [
            Asked(votes.questions.names[row], *(int(counts[value][row]) for value in (YES, MAYBE, NO))) for row in best
        ]
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
