"""The pipeline meets ReaL: 184,962 questions, five votes each of 85 raters."""

import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from whybox_server.studies.results.agreement import krippendorff_alpha
from whybox_server.studies.results.compute import Design, compute
from whybox_server.studies.results.dawid_skene import dawid_skene
from whybox_server.studies.results.planning import REAL, components
from whybox_server.studies.results.tally import counts, tally
from whybox_server.studies.results.votes import MAYBE, NO, YES, Questions, Votes

FOLDER = Path(os.environ.get("WHYBOX_DATA", "")) / "real-labels"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs real-labels at WHYBOX_DATA")


@pytest.fixture(scope="module")
def votes() -> Votes:
    """The last axis of the tensor is no, maybe, yes: the votes that `scores.npz` grows with."""
    with np.load(FOLDER / "raters.npz") as file:
        annotator, question, value = np.nonzero(file["tensor"])
        picture = np.unique(file["info"][:, 0], return_inverse=True)[1]
    size = len(picture)
    return Votes(
        question,
        annotator,
        np.array([NO, MAYBE, YES], np.int8)[value],
        Questions(
            picture,
            np.zeros(size, np.int64),
            np.zeros(size, np.int8),
            np.ones(size),
            ("",) * size,
            ("none/clean/model",),
        ),
    )


@pytest.fixture(scope="module")
def score() -> np.ndarray:
    with np.load(FOLDER / "scores.npz") as file:
        return np.asarray(file["tensor"])


def test_the_order_of_the_answers(votes: Votes, score: np.ndarray) -> None:
    mean = [score[votes.question[votes.value == value]].mean() for value in (NO, MAYBE, YES)]
    assert mean == sorted(mean)


def test_alpha(votes: Votes) -> None:
    counted = counts(votes)
    assert krippendorff_alpha(counted) == pytest.approx(0.412, abs=0.001)
    rest = np.stack([counted[:, NO], counted[:, MAYBE] + counted[:, YES]], axis=1)
    assert krippendorff_alpha(rest) == pytest.approx(0.486, abs=0.001)


def test_the_majority_agrees_with_the_published_scores(votes: Votes, score: np.ndarray) -> None:
    majority = tally(counts(votes), "accepted").majority("rejected")
    assert (majority == (score > 0.5)).mean() == pytest.approx(0.967, abs=0.0005)


def test_dawid_and_skene_agree_with_the_published_scores(votes: Votes, score: np.ndarray) -> None:
    likely = counts(votes) @ np.array([0, 0.5, 1]) / 5
    assert votes.annotator is not None
    start = np.stack([1 - likely, likely], axis=1)
    fit = dawid_skene(votes.question, votes.annotator, votes.value.astype(np.int64), start, 3)
    assert fit.converged
    assert ((fit.posterior[:, 1] > 0.5) == (score > 0.5)).mean() >= 0.98
    assert np.corrcoef(fit.posterior[:, 1], score)[0, 1] >= 0.98


def test_an_outcome_of_all_votes(votes: Votes) -> None:
    outcome = compute(votes, Design(len(votes.questions.picture), 0), seed=1, redraws=2000)
    (cell,) = outcome.cells
    assert cell.accepted.corrected_by == pytest.approx(0, abs=1e-12)
    assert cell.accepted.retaking_bias > 0.01
    # Votes taken as independent would have a standard error of 0.0004, pictures alone 0.001.
    assert 0.003 < cell.accepted.standard_error < 0.006


def test_the_components_of_plans(votes: Votes) -> None:
    np.testing.assert_allclose(astuple(components(votes, "accepted")), astuple(REAL), rtol=0.05)


def test_it_fits_in_2_gib() -> None:
    """A process of its own loads the votes and computes an outcome."""
    code = f"""
import pathlib, re, runpy
tests = runpy.run_path({__file__!r})
votes = tests["votes"].__wrapped__()
tests["test_an_outcome_of_all_votes"](votes)
# The peak of this program; getrusage would tell that of the process that started it, if it was larger.
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * 1024**2
