"""The map in superpixels: a few that suffice for the answer, and a few without which it fails."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from whybox import v1
from whybox_handlers.explanations.explainers import Attribution, Question
from whybox_handlers.explanations.maps.pixels import importance
from whybox_handlers.explanations.substitutes import substitute
from whybox_handlers.explanations.superpixels import segments_of
from whybox_handlers.models.case import Case
from whybox_handlers.models.classifier import Classifier
from whybox_handlers.models.subject import check_finite, predicted_class
from whybox_handlers.passes.account import Passes
from whybox_handlers.pictures.png import mask

SEGMENTS = 60
"""About this number of superpixels: a seventh of the view's side each, as fine as feature maps of common networks."""
_TOGETHER = 8
"""Sets tried in one pass while a set grows; at most one less is tried in vain."""


async def find_regions(case: Case, question: Question, attribution: Attribution, passes: Passes) -> v1.Regions:
    """Searches a smallest sufficient and a smallest necessary set of superpixels; see `Regions` of the contract.

    Superpixels are taken in two orders: by the map's density, and by how near each alone comes to the goal. In each
    order a set grows until it reaches its goal, and is then pruned until no superpixel can be spared; the smaller set
    is kept. Finding the smallest of all sets would take 2^segments passes.

    Args:
        case: Its classifier names the classes.
        question: The question of the map; its `substitute` replaces what is removed.
        attribution: The map.
        passes: Its limits hold; its account is left alone. Near the deadline only the first order is tried.
    """
    part = v1.Regions()
    own = passes.unlimited()
    pieces = _Pieces(question, own)
    options = question.options
    part.baseline = "image" if options.baseline_image else options.baseline or "blur"
    part.segments, part.segmentation = pieces.count, pieces.segmentation
    if bool(pieces.holds(question.logits[None])):
        densities = pieces.densities(importance(attribution, question.picture))
        for region, removes in ((part.sufficient, False), (part.necessary, True)):
            goal = _Goal(pieces, removes)
            alone = (await goal.reached(torch.eye(pieces.count, dtype=torch.bool))).progress
            orders = [values.argsort(descending=True, stable=True) for values in (densities, alone)]
            found = await _smallest(goal, orders, own)
            if found is None:
                region.state = "not_found"
            else:
                region.CopyFrom(await _described(case.classifier, goal, found))
    else:
        part.sufficient.state = part.necessary.state = "not_held"
    part.forward_evaluations = own.forward_evaluations
    return part


class _Pieces:
    """The view in superpixels, any of which can be replaced by the substitute."""

    def __init__(self, question: Question, passes: Passes) -> None:
        self.question = question
        superpixels = segments_of(question.picture, SEGMENTS)
        self.labels, self.count, self.segmentation = superpixels.labels, superpixels.count, superpixels.method
        self.areas = torch.bincount(self.labels.flatten())
        self._substitute = substitute(question)
        self._passes = passes

    def densities(self, values: Tensor) -> Tensor:
        """[H, W] to the mean over each superpixel, [segments]."""
        return torch.bincount(self.labels.flatten(), values.double().flatten()) / self.areas

    async def logits(self, kept: Tensor) -> Tensor:
        """[N, classes] of the picture where `kept` [N, H, W] is true, on the substitute.

        Raises:
            FailedPreconditionError: A logit is not finite.
        """
        logits = await self._passes.logits(torch.where(kept[:, None], self.question.picture, self._substitute))
        return check_finite(logits, "the model's output without some of the superpixels")

    def holds(self, logits: Tensor) -> Tensor:
        """[N] booleans: the target is the predicted class, or has a larger logit than the contrast class."""
        if self.question.objective.sum() == 0:
            return self.margins(logits) > 0
        target = int(self.question.objective.argmax())
        return torch.tensor([predicted_class(row) == target for row in logits])

    def margins(self, logits: Tensor) -> Tensor:
        """[N] logits by which the target leads; negative if it lags."""
        objective = self.question.objective
        if objective.sum() == 0:  # a class against another
            return self.question.objective_of(logits)
        target = int(objective.argmax())
        return logits[:, target] - logits.index_fill(1, torch.tensor([target]), -torch.inf).amax(dim=1)


class _Reached(NamedTuple):
    """Whether each set reaches the goal, and how near it comes, in logits; [N] each."""

    yes: Tensor
    progress: Tensor


class _Goal:
    """The aim of a set of superpixels: to make the answer hold or, removed, to make it fail."""

    def __init__(self, pieces: _Pieces, removes: bool) -> None:
        self.pieces = pieces
        self._removes = removes

    def kept(self, inside: Tensor) -> Tensor:
        """[..., H, W] pixels inside or outside the set to those that remain of the picture."""
        return ~inside if self._removes else inside

    async def reached(self, sets: Tensor) -> _Reached:
        """For sets as [N, segments] booleans."""
        logits = await self.pieces.logits(self.kept(sets[:, self.pieces.labels]))
        holds, margins = self.pieces.holds(logits), self.pieces.margins(logits)
        return _Reached(~holds, -margins) if self._removes else _Reached(holds, margins)


async def _smallest(goal: _Goal, orders: Sequence[Tensor], passes: Passes) -> Tensor | None:
    """[segments] booleans: the smallest irreducible set found; None if none was found."""
    best: Tensor | None = None
    for order in orders:
        # Growing and pruning look at each superpixel about once.
        if best is not None and passes.grant(2 * len(order)).count < 2 * len(order):
            break
        grown = await _grown(goal, order)
        if grown is None:
            continue
        found = await _pruned(goal, grown)
        if best is None or _size(goal, found) < _size(goal, best):
            best = found
    return best


def _size(goal: _Goal, members: Tensor) -> tuple[int, int]:
    return int(members.sum()), int(goal.pieces.areas[members].sum())


async def _grown(goal: _Goal, order: Tensor) -> Tensor | None:
    """The shortest beginning of the order that reaches the goal, perhaps an empty one."""
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    for start in range(0, len(order) + 1, _TOGETHER):
        lengths = torch.arange(start, min(start + _TOGETHER, len(order) + 1))
        sets = ranks < lengths[:, None]
        reached = (await goal.reached(sets)).yes.nonzero()
        if len(reached):
            return sets[int(reached[0])]
    return None


async def _pruned(goal: _Goal, members: Tensor) -> Tensor:
    """An irreducible subset that still reaches the goal."""
    while members.any():
        present = members.nonzero()
        spared = members.repeat(len(present), 1).scatter(1, present, False)
        each = await goal.reached(spared)
        # The superpixels that are missed least go first.
        order = each.progress.argsort(descending=True, stable=True)
        dispensable = present[order[each.yes[order]], 0]
        if not len(dispensable):
            break
        # As many of them together as possible; one alone is.
        trials = torch.stack(
            [members.scatter(0, dispensable[:count], False) for count in range(1, len(dispensable) + 1)]
        )
        together = (await goal.reached(trials)).yes
        members = trials[int(together.nonzero().max())]
    return members


async def _described(classifier: Classifier, goal: _Goal, members: Tensor) -> v1.Region:
    inside = members[goal.pieces.labels]
    region = v1.Region(
        state="found", mask=mask(inside), segments=int(members.sum()), area=float(inside.double().mean())
    )
    box = torch.zeros_like(inside)
    if region.segments:
        rows, columns = (inside.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
        region.top, region.left = int(rows[0]), int(columns[0])
        region.height, region.width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        box[region.top : region.top + region.height, region.left : region.left + region.width] = True
    logits = await goal.pieces.logits(goal.kept(torch.stack([inside, box])))
    probabilities, in_box = torch.softmax(logits.double(), dim=1)
    target = int(goal.pieces.question.objective.argmax())
    for score, index in ((region.target, target), (region.predicted, predicted_class(logits[0]))):
        score.index, score.label, score.probability = index, classifier.label(index), float(probabilities[index])
    region.box_probability = float(in_box[target])
    return region
