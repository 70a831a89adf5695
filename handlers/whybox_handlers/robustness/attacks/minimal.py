"""The template of every minimal attack: search, then refine and verify with the serving network."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.robustness.attacks.norms import NORMS
from whybox_handlers.robustness.attacks.search import Search, SearchEndedError, margin_of

FORWARDS_PER_GRADIENT = 10
"""What an attack without gradients may spend in the place of one gradient."""

# The bracket around the boundary is closed to this share of the distance.
_PRECISION = 0.0005
# A change that the serving network does not confirm is followed so many times as far along its ray, and where the whole
# search has seen no flip, so many times.
_FURTHEST, _FURTHEST_WITHOUT_FLIP = 2.0, 64.0
# ... and at least to this size: below it rounding decides, and two networks round differently.
_BEYOND_ROUNDING = 1e-5
_STRETCH = 0.002
# The secant closes the bracket in four or five; after ten the boundary is not a simple crossing, and halves are safe.
_SECANTS = 10
_PROBES = 30
# Of the time until the deadline: what the search may take; the rest is for refinement.
_SHARE = 0.9


@dataclass(frozen=True)
class Adversarial:
    """A change that flips the prediction of the serving network.

    Attributes:
        picture: [3, H, W] in [0, 1]: the changed picture.
        logits: What the serving network says of it, alone in its pass: [classes].
        distance: Size of the change in the attack's norm, for values in [0, 1].
        unflipped_distance: A change of this size along the same direction does not flip the prediction; within 1 % of
            `distance`, unless time ran out.
    """

    picture: Tensor
    logits: Tensor
    distance: float
    unflipped_distance: float


@dataclass(frozen=True)
class Found:
    """Outcome of an attack on one picture.

    Attributes:
        adversarial: The smallest change that was found and verified; None where there is none.
        searched_radius: Largest size of change that was tried.
        distance_at_half_budget: Best distance when half of the budget was spent, before refinement; None where there
            was none yet.
        gradient_evaluations: Passes of one picture forward and backward through the torch network.
        forward_evaluations: Passes of one picture through the serving network.
        stopped_by: What ended the search: "evaluations", "deadline", "flat" (the network gave no direction) or
            "converged" (the attack had no further step to make).
        flip_met: Whether the search itself came upon a flip; else the change lies far along the ray of its last one.
    """

    adversarial: Adversarial | None
    searched_radius: float
    distance_at_half_budget: float | None
    gradient_evaluations: int
    forward_evaluations: int
    stopped_by: str
    flip_met: bool


class MinimalAttack(ABC):
    """Looks for the smallest change of a picture that changes the predicted class.

    Attributes:
        name: What requests call it.
        summary: One sentence for people.
        reference: The paper that defines it.
        norms: What it can minimise, names of `NORMS`.
        evaluations: What it spends.
    """

    name: str
    summary: str
    reference: str
    norms: tuple[str, ...] = tuple(NORMS)
    evaluations: Literal["gradient", "forward"] = "gradient"

    async def run(
        self,
        passes: Passes,
        subject: Subject,
        norm: str,
        evaluations: int,
        *,
        to_deadline: bool = False,
        share: float = 1.0,
        seed: int = 0,
    ) -> Found:
        """Attacks one picture.

        Args:
            passes: Its limits hold; its account is left alone.
            subject: The picture, whose predicted class is attacked.
            norm: One of `norms`.
            evaluations: The budget in gradient evaluations, at least 1.
            to_deadline: Whether the budget is what the time allows, at most `evaluations`.
            share: Of the time until the deadline, what may be spent here.
            seed: Of attacks that draw.

        Raises:
            WhyboxError: The caller is gone, or time is over before anything was tried.
        """
        budget = evaluations if self.evaluations == "gradient" else evaluations * FORWARDS_PER_GRADIENT
        own = passes.with_budget(budget, self.evaluations, share * _SHARE)
        search = Search(NORMS[norm], subject, own, budget, seed=seed)
        try:
            if to_deadline:
                await search.fit()
            await self.search(search)
            search.stopped_by = search.stopped_by or "converged"
        except SearchEndedError:
            pass
        refining = passes.with_budget(None, "forward", share)
        adversarial = await _refine(refining, subject, search)
        return Found(
            adversarial=adversarial,
            searched_radius=search.searched_radius,
            distance_at_half_budget=search.at_half if math.isfinite(search.at_half) else None,
            gradient_evaluations=own.gradient_evaluations,
            forward_evaluations=own.forward_evaluations - own.gradient_evaluations + refining.forward_evaluations,
            stopped_by=search.stopped_by,
            flip_met=search.best is not None,
        )

    @abstractmethod
    async def search(self, search: Search) -> None:
        """Looks at changes until `search` says that it has ended, or there is nothing more to try."""


async def _refine(passes: Passes, subject: Subject, search: Search) -> Adversarial | None:
    """The nearest flip along the rays of the last change, which came too late to be looked at, and of the best one."""
    nearest = None
    furthest = _FURTHEST if search.best is not None else _FURTHEST_WITHOUT_FLIP
    for change, limit in ((search.last, search.smallest), (search.best, math.inf)):
        if change is not None and (size := search.norm.size(change)):
            # What is farther away than what is known already is of no use.
            within = min(limit, nearest.distance if nearest else max(furthest * size, _BEYOND_ROUNDING))
            nearest = await _along_ray(passes, subject, search, change, within / size) or nearest
    return nearest


async def _along_ray(
    passes: Passes, subject: Subject, search: Search, change: Tensor, furthest: float
) -> Adversarial | None:
    """Brackets the boundary between the picture and a point beyond it, every probe alone in its pass.

    None where the serving network confirms no flip up to `furthest` times the change, or has no time to.
    """
    # Fraction of the change and margin there, on both sides of the boundary.
    low, low_margin = 0.0, margin_of(subject.logits, subject.predicted)
    high, high_margin = math.inf, 0.0
    fraction, flipped, at_flip = min(1.0, furthest), search.picture, subject.logits
    for probe in range(_PROBES):
        if not passes.grant(1):
            break
        candidate = torch.clamp(search.picture + fraction * change, 0, 1)
        search.searched_radius = max(search.searched_radius, search.norm.size(candidate - search.picture))
        [logits], *_ = await passes.forward(serve_alone, candidate[None])
        margin = margin_of(logits, subject.predicted)
        if subject.flips(logits):
            high, high_margin, flipped, at_flip = fraction, margin, candidate, logits
        else:
            # Where the network gives no answer, its margin says nothing.
            margin = margin if math.isfinite(margin) else low_margin
            previous, low, low_margin = (low, low_margin), fraction, margin
            if math.isinf(high):
                # Ever longer: where rounding hides the slope, the line tells nothing.
                fraction = max(_crossing(previous, (low, low_margin)), fraction) * (1 + _STRETCH * 2**probe)
                if fraction > furthest:
                    return None
                continue
        if high - low <= _PRECISION * high:
            break
        fraction = (low + high) / 2
        if probe < _SECANTS:
            # Aimed a little past the crossing, towards the end that is farther from it: so both ends close in.
            crossing = _crossing((low, low_margin), (high, high_margin))
            side = 1 if crossing - low > high - crossing else -1
            aimed = crossing - side * _PRECISION / 3 * high
            if low < aimed < high:
                fraction = aimed
    if math.isinf(high):
        return None
    return Adversarial(
        flipped,
        at_flip,
        distance=search.norm.size(flipped - search.picture),
        unflipped_distance=search.norm.size(torch.clamp(search.picture + low * change, 0, 1) - search.picture),
    )


def _crossing(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Where the line through two points (position, value) crosses 0; the second position where it does not fall."""
    (left, above), (right, below) = one, other
    return left + (right - left) * above / (above - below) if above > below else right
