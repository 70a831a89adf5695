"""Randomised smoothing: a radius that is proven (Cohen, Rosenfeld and Kolter 2019, arXiv:1902.02918)."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from whybox import v1
from whybox.v1 import errors
from whybox.v1.vocabulary import ABSTAINED, CERTIFIED, DEADLINE, RUNNING
from whybox_handlers.models.case import Case
from whybox_handlers.models.subject import is_answer, predicted_class
from whybox_handlers.passes.account import Passes
from whybox_handlers.robustness.draws import SELECTION_DRAWS, Draws

# Draws between two looks at the clock.
_BATCH = 16
# A piece of work is a time and not a number of draws, because networks differ a hundredfold in speed.
_PIECE_SECONDS = 1.0


class Piece(NamedTuple):
    """The outcome of one piece of the work on a certificate.

    Attributes:
        part: The certificate; if more pieces follow, what the caller may see meanwhile: state "running", without
            radius, bound and `stopped_by`. A caller who chose the end by these would not have their confidence.
        draws: All draws so far.
        final: Whether no further piece is needed.
        so_far: The certificate if there is no time for another piece; None if the work is done, and until the class is
            chosen.
    """

    part: v1.Certified
    draws: Draws
    final: bool
    so_far: v1.Certified | None


def lower_bound(count: int, samples: int, alpha: float) -> float:
    """One-sided lower confidence bound of a probability, by Clopper and Pearson.

    The p at which `count` or more successes in `samples` trials have the chance alpha: the alpha-quantile of
    Beta(count, samples - count + 1). 0 without successes; alpha^(1/samples) if every trial succeeds.

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
    return sigma * NormalDist().inv_cdf(probability) if probability > 0.5 else None


def noise(seed: int, draw: int, shape: torch.Size) -> Tensor:
    """Standard normal noise of one draw; it depends only on the seed and the number of the draw.

    A counter-based generator (Philox) gives every draw a stretch of its own. So the noise does not depend on the draws
    that are made together with it, or in the same piece of work.
    """
    # The counter has 256 bits; its highest word is the draw.
    generator = np.random.Generator(np.random.Philox(key=seed, counter=draw << 192))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


async def certify(case: Case, options: v1.CertifiedOptions, passes: Passes, draws: Draws) -> Piece:
    """One piece of the work on a certificate: CERTIFY of the paper, with its draws made for about a second.

    The noise is added to the view's pixel values in [0, 1] and not clamped to them, as the proof requires: the network
    sees x + sigma * N(0, I). The first `SELECTION_DRAWS` draws choose the class, the others count how often it comes.
    The deadline ends the draws, whatever they are. Since it does not depend on the counts, a certificate from fewer
    draws is as valid as one from all.

    Args:
        case: Model, picture and seed.
        options: With every default filled in.
        passes: Grants the draws.
        draws: Those of earlier pieces.

    Raises:
        WhyboxError: Time was over before the class was chosen, no output was finite by then, or the caller is gone.
    """
    picture, wanted = case.subject.picture, SELECTION_DRAWS + options.samples
    until = passes.clock() + _PIECE_SECONDS
    final = False
    while not final:
        granted = passes.grant(min(_BATCH, wanted - draws.drawn))
        if granted:
            numbers = range(draws.drawn, draws.drawn + granted.count)
            noisy = [picture + options.sigma * noise(case.seed, draw, picture.shape) for draw in numbers]
            logits = await passes.logits(torch.stack(noisy))
            draws = draws.with_answers(predicted_class(row) if is_answer(row) else None for row in logits)
        final = draws.drawn == wanted or granted.stopped_by == DEADLINE
        if passes.clock() >= until:
            break
    if final and not draws.class_is_chosen:
        raise errors.DeadlineExceededError("the deadline passed before the class was chosen; allow more time")
    proven = _conclusion(case, options, draws) if draws.class_is_chosen else None
    if final and proven is not None:
        return Piece(proven, draws, final, None)
    return Piece(_running(options, proven), draws, final, proven)


def _conclusion(case: Case, options: v1.CertifiedOptions, draws: Draws) -> v1.Certified:
    """What the draws prove."""
    probability = lower_bound(draws.count, draws.samples, options.alpha)
    proven = radius(options.sigma, probability)
    return v1.Certified(
        status={},
        state=ABSTAINED if proven is None else CERTIFIED,
        sigma=options.sigma,
        alpha=options.alpha,
        wanted_samples=options.samples,
        class_index=draws.chosen,
        class_label=case.classifier.label(draws.chosen),
        samples=draws.samples,
        count=draws.count,
        probability_lower_bound=probability,
        radius=proven,
        stopped_by="" if draws.samples == options.samples else DEADLINE,
    )


def _running(options: v1.CertifiedOptions, proven: v1.Certified | None) -> v1.Certified:
    """What the caller may see of a certificate before its end."""
    part = v1.Certified(status={}, sigma=options.sigma, alpha=options.alpha, wanted_samples=options.samples)
    if proven is not None:
        part.CopyFrom(proven)
        for field in ("radius", "probability_lower_bound", "stopped_by"):
            part.ClearField(field)
    part.state = RUNNING
    return part
