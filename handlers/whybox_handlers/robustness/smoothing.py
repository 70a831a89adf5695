"""Randomised smoothing: a radius that is proven (Cohen, Rosenfeld and Kolter 2019, arXiv:1902.02918)."""

import time

import numpy as np
import torch
from scipy.special import betaincinv, ndtri
from torch import Tensor

from whybox import v1
from whybox.v1 import errors
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import Subject, is_answer
from whybox_handlers.passes.account import Passes

SELECTION_DRAWS = 100
"""Draws that choose the class; the others estimate its probability, so that the choice does not flatter it."""

RUNNING, CERTIFIED, ABSTAINED = "running", "certified", "abstained"

# Draws between two looks at the clock.
_BATCH = 16
# A piece of work is a time and not a number of draws, for networks differ a hundredfold in speed.
_PIECE_SECONDS = 1.0


def lower_bound(count: int, samples: int, alpha: float) -> float:
    """One-sided lower confidence bound of a probability, by Clopper and Pearson.

    The p at which `count` or more successes in `samples` trials have the chance alpha: the alpha-quantile of
    Beta(count, samples - count + 1). 0 without successes; alpha^(1/samples) where every trial succeeds.

    Args:
        count: Successes, 0 to `samples`.
        samples: Independent trials.
        alpha: Chance that the bound is above the probability, 0 to 1, the ends excluded.
    """
    return float(betaincinv(count, samples - count + 1, alpha)) if count else 0.0


def radius(sigma: float, probability: float) -> float | None:
    """The L2 distance within which a class of probability p under the noise remains the most probable one.

    It is sigma * Phi^-1(p), with the standard normal distribution function Phi.

    Args:
        sigma: Standard deviation of the noise.
        probability: p, or a lower bound of it; below 1.

    Returns:
        None for p of at most 1/2, which proves nothing.
    """
    return sigma * float(ndtri(probability)) if probability > 0.5 else None


def noise(seed: int, draw: int, shape: torch.Size) -> Tensor:
    """Standard normal noise of one draw; it depends on the seed and the number of the draw alone.

    A counter-based generator (Philox) gives every draw a stretch of its own: which draws are made together, or in which
    piece of work, makes no difference.
    """
    # The counter has 256 bits; its highest word is the draw.
    generator = np.random.Generator(np.random.Philox(key=seed, counter=draw << 192))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


async def certify(
    part: v1.Certified,
    smoothing: v1.Smoothing,
    classifier: Classifier,
    subject: Subject,
    options: v1.CertifiedOptions,
    seed: int,
    passes: Passes,
) -> bool:
    """One piece of the work on a certificate: CERTIFY of the paper, with its draws made for about a second.

    The noise is added to the view's pixel values in [0, 1] and not clamped to them, as the proof wants it: the network
    sees x + sigma * N(0, I). The first `SELECTION_DRAWS` draws choose the class, the others count how often it comes.
    The deadline ends the draws, whatever they are; since that does not depend on the counts, the certificate from those
    that were made is as valid as one from all.

    Args:
        part: What is filled in: what the draws so far prove, or "running" where they do not even choose the class.
        smoothing: The draws of earlier pieces; those of this one are added.
        classifier: The model.
        subject: The picture.
        options: With every default filled in.
        seed: Of the request.
        passes: Grant the draws.

    Returns:
        Whether that is all: every draw has been made, or there is no time for more.

    Raises:
        WhyboxError: Time was over before the class was chosen, no output was finite by then, or the caller is gone.
    """
    wanted = SELECTION_DRAWS + options.samples
    until = time.monotonic() + _PIECE_SECONDS
    complete = False
    while not complete:
        granted = passes.grant(min(_BATCH, wanted - smoothing.drawn))
        if granted:
            draws = range(smoothing.drawn, smoothing.drawn + granted)
            noisy = [subject.picture + options.sigma * noise(seed, draw, subject.picture.shape) for draw in draws]
            _count(smoothing, await passes.logits(torch.stack(noisy)))
        complete = smoothing.drawn == wanted or passes.stopped_by == "deadline"
        if time.monotonic() >= until:
            break
    if complete and smoothing.drawn < SELECTION_DRAWS:
        raise errors.DeadlineExceededError("the deadline passed before the class was chosen; allow more time")
    _conclude(part, smoothing, classifier, options)
    return complete


def _count(smoothing: v1.Smoothing, logits: Tensor) -> None:
    """Counts the answers; an output that is not finite is a draw of no class."""
    for row in logits:
        index = int(row.argmax()) if is_answer(row) else None
        if smoothing.drawn >= SELECTION_DRAWS:
            smoothing.count += index == _chosen(smoothing)
        elif index is not None:
            smoothing.selection[index] += 1
        smoothing.drawn += 1


def _chosen(smoothing: v1.Smoothing) -> int:
    """The most frequent class, of equally frequent ones the first.

    Raises:
        FailedPreconditionError: No draw was of any class.
    """
    if not smoothing.selection:
        raise errors.FailedPreconditionError(
            "the model's output is not finite under this noise; use a smaller sigma", reason="NOT_FINITE"
        )
    return max(sorted(smoothing.selection), key=lambda index: smoothing.selection[index])


def _conclude(
    part: v1.Certified, smoothing: v1.Smoothing, classifier: Classifier, options: v1.CertifiedOptions
) -> None:
    part.sigma, part.alpha, part.wanted_samples = options.sigma, options.alpha, options.samples
    if smoothing.drawn < SELECTION_DRAWS:
        part.state = RUNNING
        return
    part.class_index = _chosen(smoothing)
    part.class_label = classifier.label(part.class_index)
    part.samples, part.count = smoothing.drawn - SELECTION_DRAWS, smoothing.count
    part.stopped_by = "" if part.samples == options.samples else "deadline"
    part.probability_lower_bound = lower_bound(part.count, part.samples, options.alpha)
    proven = radius(options.sigma, part.probability_lower_bound)
    part.state = ABSTAINED if proven is None else CERTIFIED
    if proven is not None:
        part.radius = proven
