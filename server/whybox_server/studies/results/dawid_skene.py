"""Dawid and Skene's model: hidden classes, and annotators who confuse them each in their own way."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-10
"""Smallest probability in a likelihood, so that one vote that was thought impossible cannot outweigh all others."""


STEPS = 500
"""Most steps of EM by default."""


@dataclass(frozen=True)
class DawidSkene:
    """A fit.

    Attributes:
        posterior: Probability of each class for each question, float64 [Q, K].
        prior: Share of each class, float64 [K].
        confusion: Probability of each answer of an annotator, given the class, float64 [A, K, C]; 1 / C if the
            annotator never met the class.
        iterations: Steps of EM.
        converged: Whether the log-likelihood grew by less than the tolerance at the end.
        log_likelihood: Mean over votes, in nats, at the last step.
    """

    posterior: NDArray[np.float64]
    prior: NDArray[np.float64]
    confusion: NDArray[np.float64]
    iterations: int
    converged: bool
    log_likelihood: float


def dawid_skene(
    question: NDArray[np.int64],
    annotator: NDArray[np.int64],
    answer: NDArray[np.int64],
    start: NDArray[np.float64],
    answers: int,
    *,
    steps: int = STEPS,
    tolerance: float = 1e-7,
    stepped: Callable[[int], object] | None = None,
) -> DawidSkene:
    """Fit K hidden classes to votes with C answers by EM (Dawid & Skene 1979).

    The probability of the votes of question q is sum_k prior_k prod_v confusion[a_v, k, y_v]. An M-step takes prior and
    confusion from the posteriors, weighted shares of votes; an E-step takes the posteriors from them. EM starts with an
    M-step, and ends once the mean log-likelihood of a vote grows by less than `tolerance`. It finds the nearest local
    maximum, so `start` decides which class is which.

    Args:
        question: Question of each vote, int64 [V].
        annotator: Annotator of each vote, int64 [V].
        answer: Answer of each vote, from 0 to C - 1, int64 [V].
        start: Posteriors to begin with, float64 [Q, K]; rows sum to 1.
        answers: Number of answers C.
        steps: Most steps of EM.
        tolerance: Smallest growth in nats per vote that is worth another step.
        stepped: Is told the number of new steps.
    """
    classes = start.shape[1]
    people = int(annotator.max(initial=-1)) + 1
    kind = annotator * answers + answer
    """Column of the confusion matrices that a vote falls into."""
    posterior, last, converged, step = start, -np.inf, False, 0
    while step < steps and not converged:
        step += 1
        if stepped is not None:
            stepped(1)
        prior = posterior.mean(axis=0)
        shares = np.stack([np.bincount(kind, posterior[question, k], people * answers) for k in range(classes)])
        shares = shares.reshape(classes, people, answers)
        met = shares.sum(axis=2, keepdims=True)
        confusion = np.divide(shares, met, out=np.full_like(shares, 1 / answers), where=met > 0)
        log = np.log(np.maximum(confusion.reshape(classes, -1), _FLOOR))
        joint = np.log(np.maximum(prior, _FLOOR)) + np.stack(
            [np.bincount(question, log[k, kind], len(start)) for k in range(classes)], axis=1
        )
        highest = joint.max(axis=1, keepdims=True)
        evidence = highest + np.log(np.exp(joint - highest).sum(axis=1, keepdims=True))
        posterior = np.exp(joint - evidence)
        likelihood = float(evidence.sum() / max(len(question), 1))
        converged, last = likelihood - last < tolerance, likelihood
    return DawidSkene(posterior, prior, confusion.transpose(1, 0, 2), step, converged, last)
