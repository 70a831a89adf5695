"""An outcome in the terminal, line by line."""

from collections.abc import Iterator

from whybox_server.studies.report.claims import in_words
from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.outcome import Estimate, Outcome


def lines(subject: Subject, outcome: Outcome) -> Iterator[str]:
    """The main results; the estimand is named before the first interval."""
    yield subject.title
    yield subject.estimand(outcome)
    if outcome.left_out:
        yield outcome.left_out
    if outcome.extrapolated:
        yield outcome.extrapolated
    for count in subject.counts:
        yield f"{count.what}: {count.number:,} of {count.of:,}"
    for cell in outcome.cells:
        yield f"{in_words(cell)}: {cell.questions:,} questions, {cell.votes:,} votes"
        if not subject.model or cell.rectified is None:
            yield f"  accepted {_interval(cell.accepted)}"
            continue
        yield f"  standard error {cell.standard_error:.1%}, rectified error {_interval(cell.rectified)}"
        yield (
            f"  errors accepted: {cell.majority_accepted_errors:,} of {cell.asked_errors:,};"
            f" correct answers rejected: {cell.majority_rejected_correct:,} of {cell.asked_correct:,}"
        )
        if outcome.unasked_errors or outcome.unasked_correct:
            yield (
                f"  never asked about: {outcome.unasked_errors:,} of {outcome.errors:,} errors,"
                f" {outcome.unasked_correct:,} of {outcome.correct:,} correct answers; with them the rectified error"
                f" lies between {1 - cell.accepted_at_most:.1%} and {1 - cell.accepted_at_least:.1%}"
            )
    for row in outcome.contrasts:
        if row.registered:
            points = f"{row.difference.estimate * 100:+.1f} points"
            yield f"{row.name}: {points}, p (Holm) {row.p_holm:.2g}"
    for agreement in outcome.agreement:
        if agreement.scope != "all_cells":
            continue
        if agreement.alpha is not None and agreement.alpha_no_against_rest is not None:
            yield f"alpha {agreement.alpha:.3f}, no against the rest {agreement.alpha_no_against_rest:.3f}"


def _interval(estimate: Estimate) -> str:
    marked = ", extrapolated" if estimate.extrapolated else ""
    return f"{estimate.estimate:.1%} ({estimate.low:.1%} to {estimate.high:.1%}{marked})"
