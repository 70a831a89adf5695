"""The template of every minimal attack: search, then refinement and verification with the serving network."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from whybox_handlers.models.subject import Subject, predicted_class
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.robustness.attacks.norms import NORMS
from whybox_handlers.robustness.attacks.search import Search, SearchEndedError, margin_of


@dataclass(frozen=True)
class Adversarial:
    """A change that flips the prediction of the serving network.

    Attributes:
        picture: [3, H, W] in [0, 1]: the changed picture.
        logits: [classes]: the serving network's answer to it, alone in its pass.
        distance: Size of the change in the attack's norm, for values in [0, 1].
        unflipped_distance: A change of this size in the same direction does not flip the prediction. It is within 1 %
            of `distance`, unless time ran out.
        tied_with: Another class with exactly the logit of the predicted class: the picture lies on the boundary of the
            two. Then there is no change, and both distances are 0. None for a change that flips the prediction.
    """

    picture: Tensor
    logits: Tensor
    distance: float
    unflipped_distance: float
    tied_with: int | None = None

    @property
    def predicted(self) -> int:
        """The class of the changed picture; for a tie the other class."""
        return predicted_class(self.logits) if self.tied_with is None else self.tied_with


@dataclass(frozen=True)
class Found:
    """Outcome of an attack on one picture.

    Attributes:
        adversarial: The smallest change that was found and verified; None if no flip was found.
        searched_radius: Largest size of change that was tried.
        distance_at_half_budget: Best distance when half of the budget was spent, before refinement; None if there was
            no flip by then.
        gradient_evaluations: Passes of one picture forward and back.
        forward_evaluations: Passes of one picture through the serving network.
        stopped_by: What ended the search: "evaluations", "deadline", "flat" (the gradient was 0 or not finite) or
            "converged" (the attack had no further step to make).
        flip_met: Whether the search itself met a flip; otherwise `adversarial` was found by enlarging its last change.
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

    A subclass may set other values for any of the attributes.

    Attributes:
        name: Its name in requests.
        summary: One sentence for people.
        reference: The paper that defines it.
        norms: What it can minimise, names of `NORMS`.
        evaluations: What it spends: gradient evaluations, or forward evaluations of the serving network.
        forwards_per_gradient: Forward evaluations that an attack without gradients gets in place of one gradient
            evaluation.
        search_share: Share of the time until the deadline that the search may take, 0 to 1; the rest is for refinement.
        precision: Refinement ends when the bracket around the boundary is at most this share of the distance.
        probes: At most this many forward evaluations are spent on each of the two rays that are refined.
        secants: Each probe after this many halves the bracket. The secant closes it in four or five probes; after ten
            the boundary is not a simple crossing, and halving is safe.
        stretch: A ray without a flip so far is followed to the linear estimate of the crossing, enlarged by this share;
            the share doubles with every probe.
        furthest: A change that the serving network does not confirm is enlarged up to this factor.
        furthest_without_flip: The same factor for a search that has met no flip.
        beyond_rounding: A change is enlarged at least to this size in the attack's norm, for values in [0, 1]. Smaller
            changes drown in rounding, which differs between the two networks.
    """

    name: str
    summary: str
    reference: str
    norms: tuple[str, ...] = tuple(NORMS)
    evaluations: Literal["gradient", "forward"] = "gradient"
    forwards_per_gradient: int = 10
    search_share: float = 0.9
    precision: float = 0.0005
    probes: int = 30
    secants: int = 10
    stretch: float = 0.002
    furthest: float = 2.0
    furthest_without_flip: float = 64.0
    beyond_rounding: float = 1e-5

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
        """Attacks one picture. One that is tied already (see `Subject.tied`) costs no evaluation.

        Args:
            passes: The attack observes its limits, and keeps accounts of its own.
            subject: The picture, whose predicted class is attacked.
            norm: One of `norms`.
            evaluations: The budget in gradient evaluations, at least 1.
            to_deadline: Whether the budget is what the time allows, at most `evaluations`.
            share: Share of the time until the deadline that the attack may take, 0 to 1.
            seed: Seed of attacks that draw random numbers.

        Raises:
            WhyboxError: The caller is gone, or the deadline passed before the first evaluation.
        """
        if subject.tied:
            # No attack can do better, and the gradient of the lead over the tied class may be 0 everywhere.
            _, rival, *_ = subject.order
            on_boundary = Adversarial(subject.picture, subject.logits, 0.0, 0.0, tied_with=rival)
            return Found(on_boundary, 0.0, 0.0, 0, 0, "converged", flip_met=True)
        budget = evaluations if self.evaluations == "gradient" else evaluations * self.forwards_per_gradient
        own = passes.with_budget(budget, self.evaluations, share * self.search_share)
        search = Search(NORMS[norm], subject, own, budget, seed=seed)
        try:
            if to_deadline:
                await search.fit()
            await self.search(search)
            search.stopped_by = search.stopped_by or "converged"
        except SearchEndedError:
            pass
        refining = passes.with_budget(None, "forward", share)
        adversarial = await self._refine(refining, subject, search)
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
        """Looks at changes until `search` raises a `SearchEndedError`, or returns when there is nothing more to try."""

    async def _refine(self, passes: Passes, subject: Subject, search: Search) -> Adversarial | None:
        """The nearest flip along the rays of the last change, which was not looked at, and of the best one."""
        nearest = None
        furthest = self.furthest if search.best is not None else self.furthest_without_flip
        for change, limit in ((search.last, search.smallest), (search.best, math.inf)):
            if change is not None and (size := search.norm.size(change)):
                # A flip farther away than one already known is of no use.
                within = min(limit, nearest.distance if nearest else max(furthest * size, self.beyond_rounding))
                nearest = await self._along_ray(passes, subject, search, change, within / size) or nearest
        return nearest

    async def _along_ray(
        self, passes: Passes, subject: Subject, search: Search, change: Tensor, furthest: float
    ) -> Adversarial | None:
        """Brackets the boundary between the picture and a point beyond it, every probe alone in its pass.

        None if the serving network confirms no flip up to `furthest` times the change, or time is over before it does.
        """
        # Fraction of the change and margin there, on both sides of the boundary.
        low, low_margin = 0.0, margin_of(subject.logits, subject.predicted)
        high, high_margin = math.inf, 0.0
        fraction, flipped, at_flip = min(1.0, furthest), search.picture, subject.logits
        for probe in range(self.probes):
            if not passes.grant(1):
                break
            candidate = torch.clamp(search.picture + fraction * change, 0, 1)
            search.searched_radius = max(search.searched_radius, search.norm.size(candidate - search.picture))
            [logits], *_ = await passes.forward(serve_alone, candidate[None])
            margin = margin_of(logits, subject.predicted)
            if subject.flips(logits):
                high, high_margin, flipped, at_flip = fraction, margin, candidate, logits
            else:
                # A margin that is not finite says nothing.
                margin = margin if math.isfinite(margin) else low_margin
                previous, low, low_margin = (low, low_margin), fraction, margin
                if math.isinf(high):
                    # Ever longer, because rounding may hide the slope from which the crossing is estimated.
                    fraction = max(_crossing(previous, (low, low_margin)), fraction) * (1 + self.stretch * 2**probe)
                    if fraction > furthest:
                        return None
                    continue
            if high - low <= self.precision * high:
                break
            fraction = (low + high) / 2
            if probe < self.secants:
                # Aimed a little past the crossing, towards the farther end, so that both ends close in.
                crossing = _crossing((low, low_margin), (high, high_margin))
                side = 1 if crossing - low > high - crossing else -1
                aimed = crossing - side * self.precision / 3 * high
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
    """Position at which the line through two points (position, value) crosses 0; the second's if the line rises."""
    (left, above), (right, below) = one, other
    return left + (right - left) * above / (above - below) if above > below else right
