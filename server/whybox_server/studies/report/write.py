"""The results as files, and in the terminal."""

from pathlib import Path

from rich.console import Console

from whybox_server.studies.errors import StudyError
from whybox_server.studies.report import words
from whybox_server.studies.report.document import REDRAWS, write_document
from whybox_server.studies.report.page import write_page
from whybox_server.studies.report.progress import ResultsProgress
from whybox_server.studies.report.subject import Subject
from whybox_server.studies.results.compute import Design, compute
from whybox_server.studies.results.outcome import Outcome
from whybox_server.studies.results.votes import Votes


def write_results(
    folder: Path,
    subject: Subject,
    votes: Votes,
    design: Design,
    out: Console,
    err: Console,
    *,
    seed: int = 0,
    redraws: int = REDRAWS,
) -> Outcome:
    """Computes the outcome, prints it, and writes results.json and results.html.

    Args:
        folder: Folder for the files; it is made.
        subject: What the results are about.
        votes: What people said.
        design: How it counts.
        out: Console for the results.
        err: Console for the progress.
        seed: Of the redraws.
        redraws: Number of redraws behind each interval, at least 100.

    Raises:
        StudyError: There is no answer yet that counts, or the folder cannot be made.
    """
    if not len(votes.value):
        raise StudyError(f"{subject.study} has no answers yet; wait for the first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be a folder for the results ({error.strerror}); give another --save"
        ) from error
    try:
        with ResultsProgress(err) as progress:
            outcome = compute(votes, design, seed=seed, redraws=redraws, report=progress.show)
    except ValueError as error:
        raise StudyError(f"{subject.study} has no results: {error}") from error
    for line in words.lines(subject, outcome):
        out.print(line, markup=False, soft_wrap=True)
    for path in (write_document(folder, subject, outcome), write_page(folder, subject, votes, outcome)):
        out.print(f"saved {path}", markup=False, soft_wrap=True)
    return outcome
