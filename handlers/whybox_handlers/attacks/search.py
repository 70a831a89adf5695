"""One search for a minimal change: what it may spend, what it has tried, and the smallest flip so far."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from whybox_handlers.attacks.norms import Norm
from whybox_handlers.passes import ANY_RIVAL, Passes, serve_alone
from whybox_handlers.subject import Subject


class SearchEndedError(Exception):
    """Budget or time is spent: attacks need not count, they are stopped by this."""


@dataclass(frozen=True)
class Look:
    """What the torch network says of one change.

    Attributes:
        margin: Lead of the label's logit over the rival's (over the best other one where none was named); negative
            where the label is beaten.
        gradient: Of the margin, [3, H, W].
        flipped: Whether the network's answer is another class than the label.
    """

    margin: float
    gradient: Tensor
    flipped: bool


class Search:
    """One search. Changes are [3, H, W]; the changed pictures must lie in [0, 1], see `boxed`.

    Args:
        norm: What is minimised.
        subject: The picture; its predicted class, the label, is to be flipped.
        passes: Its budget is the search's.
        evaluations: That budget, in the attack's kind of evaluations.
        fitted: Whether the search shall see as its budget what the deadline leaves of it.
        seed: Of attacks that draw.

    Attributes:
        best: The smallest change found that flips the answer; None where there is none.
        smallest: Its size; infinite where there is none.
        at_half: `smallest` when half of the budget was spent.
        last: A change that came too late to be looked at.
        searched_radius: Size of the largest change that was tried.
        stopped_by: What ended it: "evaluations", "deadline", "flat" or "converged".
        spent: Evaluations so far.
        evaluations: The budget, with `fitted` known after the first evaluation.
    """

    def __init__(
        self, norm: Norm, subject: Subject, passes: Passes, evaluations: int, *, fitted: bool = False, seed: int = 0
    ) -> None:
        self.norm = norm
        self.picture = subject.picture
        self.logits = subject.logits
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
        self._fitted = fitted
        self._seed = seed

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        return self.spent / self.evaluations

    @property
    def left(self) -> int:
        """Evaluations that may still be spent."""
        return self.evaluations - self.spent

    def generator(self) -> torch.Generator:
        """A new generator with the request's seed."""
        return torch.Generator().manual_seed(self._seed)

    def boxed(self, change: Tensor) -> Tensor:
        """The change cut where the changed picture would leave [0, 1]."""
        return (self.picture + change).clamp(0, 1) - self.picture

    def rivals(self, count: int) -> list[int]:
        """The classes that come next after the label, the most probable first."""
        order = self.logits.argsort(descending=True, stable=True).tolist()
        return [index for index in order if index != self.label][:count]

    async def look(self, change: Tensor) -> Look:
        """Spends one gradient evaluation on a change, against whichever class is then the nearest.

        Raises:
            SearchEndedError: None is left.
        """
        [look] = await self.look_at_rivals(change, [ANY_RIVAL])
        return look

    async def look_at_rivals(self, change: Tensor, rivals: list[int]) -> list[Look]:
        """Spends one gradient evaluation for each rival; errors as in `look`."""
        self._grant(len(rivals), change)
        pictures = (self.picture + change).expand(len(rivals), -1, -1, -1)
        labels = torch.full((len(rivals),), self.label)
        logits, gradients = await self._passes.margins(pictures, labels, torch.tensor(rivals))
        flipped = int(logits[0].argmax()) != self.label
        self._note(change, flipped, len(rivals))
        others = logits[0].clone()
        others[self.label] = -math.inf
        leads = [others.max() if rival == ANY_RIVAL else others[rival] for rival in rivals]
        return [
            Look(float(logits[0, self.label] - lead), gradient, flipped)
            for lead, gradient in zip(leads, gradients, strict=True)
        ]

    async def margin(self, change: Tensor) -> float:
        """Spends one forward evaluation; the margin of the serving network. Errors as in `look`."""
        self._grant(1, change)
        [logits], *_ = await self._passes.forward(serve_alone, (self.picture + change)[None])
        self._note(change, int(logits.argmax()) != self.label, 1)
        return margin_of(logits, self.label)

    def _grant(self, wanted: int, change: Tensor) -> None:
        if self._passes.grant(wanted) < wanted:
            self.last, self.stopped_by = change, self._passes.stopped_by
            raise SearchEndedError

    def _note(self, change: Tensor, flipped: bool, cost: int) -> None:
        size = self.norm.size(change)
        self.searched_radius = max(self.searched_radius, size)
        self.spent += cost
        # Where torch sees the label beaten in the picture itself, the serving network has decided otherwise.
        if flipped and 0 < size < self.smallest:
            self.best, self.smallest = change, size
        if 2 * self.spent <= self.evaluations:
            self.at_half = self.smallest
        if self._fitted:
            self._fitted = False
            self.evaluations = self.spent + self._passes.grant(self.evaluations - self.spent)


def margin_of(logits: Tensor, label: int) -> float:
    """Lead of the label's logit over the best other one; infinite where there is no other."""
    others = logits.clone()
    others[label] = -math.inf
    return float(logits[label] - others.max())
