"""One search for a minimal change: its budget, the changes that it has tried, and the smallest flip so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.models.runtimes.differentiators import ANY_RIVAL
from whybox_handlers.models.subject import Subject
from whybox_handlers.passes.account import Passes
from whybox_handlers.passes.computations import serve_alone
from whybox_handlers.robustness.attacks.norms import Norm

SMALLEST = 1e-6
"""Smaller changes of pixel values are lost in float32."""
_FARTHEST = 1e12
"""Longer ways to a boundary, which tiny gradients promise, are cut: all lie far outside [0, 1], some beyond float32."""


class SearchEndedError(Exception):
    """Budget or time is spent, or the gradient vanished. It stops an attack, which need not count evaluations."""


@dataclass(frozen=True)
class Look:
    """The differentiator's answer to one change.

    Attributes:
        margin: Lead of the label's logit over the rival's (over the best other logit if no rival was named), in logits;
            negative if the rival is ahead.
        flipped: Whether the network's answer is another class than the label.
        gradient: Gradient of the margin, [3, H, W], in logits per pixel value; 0 for values that are at the edge of
            [0, 1] and would have to leave it.
        steepness: The gradient's dual norm: by how much, to first order, the best change of size 1 lowers the margin.
        direction: That change.
        ahead: Size of the best change that, to first order, leads from here onto the boundary; negative if the rival is
            ahead.
    """

    margin: float
    flipped: bool
    gradient: Tensor
    steepness: float
    direction: Tensor
    ahead: float


class Search:
    """One search. Changes are [3, H, W]; the changed pictures must lie in [0, 1], see `boxed`.

    Args:
        norm: What is minimised.
        subject: The picture; its predicted class, the label, is to be flipped.
        passes: Its budget is the search's.
        evaluations: That budget, in the attack's kind of evaluations.
        seed: Seed of attacks that draw random numbers.

    Attributes:
        best: The smallest change found that flips the answer; None before the first flip.
        smallest: Its size; infinite before the first flip.
        at_half: `smallest` when half of the budget was spent.
        last: The change that the attack proposed when the budget was spent; it was not looked at.
        searched_radius: Size of the largest change that was tried.
        stopped_by: What ended it: "evaluations", "deadline", "flat" or "converged".
        spent: Evaluations so far.
        evaluations: The budget.
    """

    def __init__(self, norm: Norm, subject: Subject, passes: Passes, evaluations: int, seed: int = 0) -> None:
        self.norm = norm
        self.subject = subject
        self.picture = subject.picture
        self.label = subject.predicted
        self.evaluations = evaluations
        self.best: Tensor | None = None
        self.smallest = math.inf
        self.at_half = math.inf
        self.last: Tensor | None = None
        self.searched_radius = 0.0
        self.stopped_by = ""
        self.spent = 0
        self._passes = passes
        self._seed = seed
        self._fitted = False

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        return min(self.spent / self.evaluations, 1.0)

    @property
    def left(self) -> int:
        """Evaluations that may still be spent."""
        return max(self.evaluations - self.spent, 0)

    def generator(self) -> torch.Generator:
        """A new generator with the request's seed."""
        return torch.Generator().manual_seed(self._seed)

    def boxed(self, change: Tensor) -> Tensor:
        """The change cut where the changed picture would leave [0, 1]."""
        return (self.picture + change).clamp(0, 1) - self.picture

    def rivals(self, count: int) -> list[int]:
        """The classes that come next after the label, the most probable first."""
        return self.subject.order[1 : count + 1]

    async def fit(self) -> None:
        """Cuts the budget to what the deadline allows, judged by the time of a first evaluation."""
        if self._passes.unit == "gradient":
            await self.look(torch.zeros_like(self.picture))
        else:
            await self.margin(torch.zeros_like(self.picture))
        self.evaluations = self._passes.fit(self.evaluations)
        self._fitted = True

    async def look(self, change: Tensor) -> Look:
        """Spends one gradient evaluation on a change, against the class with the best other logit there.

        Raises:
            SearchEndedError: No evaluation is left, or the gradient is 0 or not finite.
        """
        [look] = await self.look_at_rivals(change, [ANY_RIVAL])
        return look

    async def look_at_nearest(self, most: int, share: float) -> Look:
        """Looks at the unchanged picture against the first few rivals, and takes the nearest linearised boundary.

        Often it is not the runner-up's, and a search that begins towards a farther boundary seldom comes back.

        Args:
            most: At most this many rivals are looked at, one evaluation for each.
            share: At most this share of the budget is spent on them, 0 to 1; one rival is looked at in any case.

        Raises:
            SearchEndedError: As `look` does.
        """
        rivals = self.rivals(max(1, min(most, round(share * self.evaluations))))
        looks = await self.look_at_rivals(torch.zeros_like(self.picture), rivals)
        return min(looks, key=lambda look: look.ahead)

    async def look_at_rivals(self, change: Tensor, rivals: list[int]) -> list[Look]:
        """Spends one gradient evaluation for each rival.

        Returns:
            A look for each rival against which the gradient is finite and not 0.

        Raises:
            SearchEndedError: Fewer evaluations are left, or there is no such rival.
        """
        found = [look for look in await self._looks(change, rivals) if 0 < look.steepness < math.inf]
        if not found:
            self.stopped_by = "flat"
            raise SearchEndedError
        return found

    async def margin(self, change: Tensor) -> float:
        """Spends one forward evaluation; the margin of the serving network. Errors as in `look`."""
        self._grant(1, change)
        [logits], *_ = await self._passes.forward(serve_alone, (self.picture + change)[None])
        self._note(change, self.subject.flips(logits), 1)
        return margin_of(logits, self.label)

    async def _looks(self, change: Tensor, rivals: list[int]) -> list[Look]:
        self._grant(len(rivals), change)
        changed = self.picture + change
        labels = torch.full((len(rivals),), self.label)
        pictures = changed.expand(len(rivals), -1, -1, -1)
        logits, gradients = await self._passes.margins(pictures, labels, torch.tensor(rivals))
        flipped = self.subject.flips(logits[0])
        self._note(change, flipped, len(rivals))
        others = logits[0].clone()
        others[self.label] = -math.inf
        leads = [others.max() if rival == ANY_RIVAL else others[rival] for rival in rivals]
        # At the edge of [0, 1] a value can go only one way.
        shut = (changed <= 0, changed >= 1)
        return [
            self._described(float(logits[0, self.label] - lead), flipped, gradient, change, shut)
            for lead, gradient in zip(leads, gradients, strict=True)
        ]

    def _described(
        self, margin: float, flipped: bool, gradient: Tensor, change: Tensor, shut: tuple[Tensor, Tensor]
    ) -> Look:
        gradient = gradient.masked_fill((shut[0] & (gradient > 0)) | (shut[1] & (gradient < 0)), 0)
        steepness = self.norm.steepness(gradient)
        direction, ahead = torch.zeros_like(gradient), math.inf
        if 0 < steepness < math.inf:
            direction = -self.norm.steepest(gradient)
            ahead = min(max(margin / steepness, -_FARTHEST), _FARTHEST)
            if not change.any():
                # The serving network has decided for the label, even if rounding shows another class ahead here.
                ahead = max(abs(ahead), SMALLEST)
        return Look(margin, flipped, gradient, steepness, direction, ahead)

    def _grant(self, wanted: int, change: Tensor) -> None:
        granted = self._passes.grant(wanted)
        if granted.count < wanted:
            self.last = change
            # A budget that was cut to fit the time is spent when the time is over.
            self.stopped_by = DEADLINE if self._fitted else granted.stopped_by
            raise SearchEndedError

    def _note(self, change: Tensor, flipped: bool, cost: int) -> None:
        size = self.norm.size(change)
        self.searched_radius = max(self.searched_radius, size)
        self.spent += cost
        # A flip of size 0 is none: the serving network has decided for the label in the picture itself.
        if flipped and 0 < size < self.smallest:
            self.best, self.smallest = change, size
        if 2 * self.spent <= self.evaluations:
            self.at_half = self.smallest


def margin_of(logits: Tensor, label: int) -> float:
    """Lead of the label's logit over the best other one; infinite if there is no other class."""
    others = logits.clone()
    others[label] = -math.inf
    return float(logits[label] - others.max())
