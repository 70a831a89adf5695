"""Integrated gradients along the straight line from a baseline (Sundararajan et al., arXiv:1703.01365).

A gradient costs as much as two to five forward passes, and networks change fast on small parts of the line. A few
forward passes first show where the objective changes. Then the worst trapezoids are halved until their sum agrees with
the change of the objective. Each gradient stays in use as a corner of two trapezoids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from whybox_handlers.explanations.explainers.attribution import Attribution, Question
from whybox_handlers.models.subject import check_finite
from whybox_handlers.passes.account import Passes, StoppedBy

# Forward passes per baseline before the first gradient: parts of the line on which the objective is compared.
_PARTS = 4
# Gradients per baseline before the first look at the residual.
_FIRST = 8
# With fewer gradients per baseline a tolerance may be met by luck: errors of some trapezoids cancel others'.
_TRUSTED = 16
# Trapezoids halved between two looks at the residual.
_BATCH = 2
# Trapezoids that can still be halved: each keeps gradients in memory. Beyond, the calmest are closed for good.
_OPEN = 128
# Error of the sum against error of the map, as shares of their totals, in the choice of the worst.
_WEIGHT_OF_GAP = 0.5
# In logits. A smaller change cannot be explained: two runtimes of one network differ by as much.
_SMALLEST_CHANGE = 1e-3


async def integrated_gradients(passes: Passes, question: Question) -> Attribution:
    """(x - b) * integral over t in [0, 1] of d objective / d x at b + t (x - b), [3, H, W], in logits.

    x is the picture and b the baseline; several baselines are averaged and share the picture's own gradient. Values sum
    to objective(x) - objective(b) up to the convergence delta, and are never scaled to do so. The residual is
    |delta| / |objective(x) - objective(b)|, in which a change below a thousandth of a logit counts as a thousandth.

    Raises:
        FailedPreconditionError: The objective is not finite somewhere on the way.
    """
    lines = [_Line(question.picture, baseline) for baseline in question.baselines]
    places = torch.arange(_PARTS) / _PARTS
    logits = await passes.logits(torch.cat([line.at(places) for line in lines]))
    between = check_finite(question.objective_of(logits), "the model's output between baseline and picture")
    coarse = between.view(len(lines), _PARTS)
    baseline_value = float(coarse[:, 0].mean())
    change = max(abs(question.value - baseline_value), _SMALLEST_CHANGE)

    integral = _Integral(await _first(passes, question, lines, coarse))
    while True:
        residual = abs(integral.gap) / len(lines) / change
        trusted = integral.size >= len(lines) * (_TRUSTED - 1)
        if question.options.tolerance and trusted and residual <= question.options.tolerance:
            stopped_by: StoppedBy = "tolerance"
            break
        granted = passes.grant(_BATCH)
        if not granted:
            stopped_by = granted.stopped_by
            break
        await _refine(passes, question, integral, granted.count)
    values = integral.values() / len(lines)
    return Attribution(values, "logit", True, stopped_by, residual, baseline_value, complete=True)


@dataclass(frozen=True, eq=False)
class _Line:
    """From a baseline (t = 0) to the picture (t = 1), both [3, H, W]."""

    picture: Tensor
    baseline: Tensor

    @cached_property
    def change(self) -> Tensor:
        return self.picture - self.baseline

    def at(self, places: Tensor) -> Tensor:
        """[N] places t to [N, 3, H, W]."""
        return self.baseline + places.view(-1, 1, 1, 1) * self.change


@dataclass(frozen=True, eq=False)
class _Corner:
    """A place on a line, the objective there, and its gradient [3, H, W]."""

    place: float
    value: float
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class _Trapezoid:
    """The part of a line's integral between two corners."""

    line: _Line
    left: _Corner
    right: _Corner

    @property
    def width(self) -> float:
        return self.right.place - self.left.place

    @property
    def middle(self) -> float:
        return (self.left.place + self.right.place) / 2

    @property
    def integral(self) -> Tensor:
        """[3, H, W], in logits."""
        return self.line.change * (self.left.gradient + self.right.gradient) * (self.width / 2)

    @cached_property
    def gap(self) -> float:
        """Sum of the integral less the true change of the objective, in logits."""
        return float(self.integral.double().sum()) - (self.right.value - self.left.value)

    @cached_property
    def doubt(self) -> float:
        """The change of the integral between its two corners; bounds the error of the map."""
        return self.width * float((self.line.change * (self.right.gradient - self.left.gradient)).norm())

    def halves(self, middle: _Corner) -> "tuple[_Trapezoid, _Trapezoid]":
        return _Trapezoid(self.line, self.left, middle), _Trapezoid(self.line, middle, self.right)


class _Integral:
    """All lines' trapezoids.

    Attributes:
        size: How many there are.
        gap: Sum of their gaps, in logits.
    """

    def __init__(self, trapezoids: Sequence[_Trapezoid]) -> None:
        self._open = list(trapezoids)
        self._closed: Tensor | None = None
        self.size = len(trapezoids)
        self.gap = sum(each.gap for each in trapezoids)

    def values(self) -> Tensor:
        """[3, H, W]: their sum, in logits."""
        total = sum((each.integral for each in self._open[1:]), self._open[0].integral)
        return total if self._closed is None else total + self._closed

    def worst(self, count: int) -> list[_Trapezoid]:
        """The trapezoids to be halved next, at most `count`."""
        # By the error of the map and that of the sum, each as a share of its total.
        doubts = np.array([each.doubt for each in self._open])
        gaps = np.abs([each.gap for each in self._open])
        order = (-doubts / (doubts.sum() or 1) - _WEIGHT_OF_GAP * gaps / (gaps.sum() or 1)).argsort(kind="stable")
        self._open = [self._open[position] for position in order]
        return self._open[:count]

    def halve(self, worst: Sequence[_Trapezoid], middles: Sequence[_Corner]) -> None:
        """Replaces the worst, as `worst` told them, by their halves on both sides of the middles."""
        halves = [half for each, middle in zip(worst, middles, strict=True) for half in each.halves(middle)]
        for each in self._open[_OPEN:]:
            self._closed = each.integral if self._closed is None else self._closed + each.integral
        self._open = halves + self._open[len(worst) : _OPEN]
        self.size += len(worst)
        self.gap += sum(half.gap for half in halves) - sum(each.gap for each in worst)


async def _first(passes: Passes, question: Question, lines: Sequence[_Line], coarse: Tensor) -> list[_Trapezoid]:
    """Each line in as many trapezoids as are granted at first; they are narrow on parts where the objective changes.

    `coarse` tells these parts: [lines, _PARTS] objectives at equal distances from each baseline, without the picture's.
    """
    # The picture's own gradient comes first, and alone: its time tells how many more are possible.
    end_value, end_gradient = await passes.gradients(question.picture[None], question.objective)
    end = _Corner(1.0, float(end_value), end_gradient[0])
    count = max(passes.grant(len(lines) * (_FIRST - 1)).count // len(lines), 1)
    placed = [_places([*values.tolist(), question.value], count) for values in coarse]
    starts = torch.cat([line.at(torch.tensor(places)) for line, places in zip(lines, placed, strict=True)])
    values, gradients = await passes.gradients(starts, question.objective)
    trapezoids = []
    for number, (line, places) in enumerate(zip(lines, placed, strict=True)):
        corners = [
            _Corner(place, float(values[row]), gradients[row]) for row, place in enumerate(places, start=number * count)
        ]
        trapezoids += [_Trapezoid(line, left, right) for left, right in pairwise([*corners, end])]
    return trapezoids


def _places(objectives: Sequence[float], count: int) -> list[float]:
    """The left ends of `count` parts of [0, 1], each with the same share of its length and of the objective's changes.

    Length counts half: the map may have much to show where the objective stays, because gradients cancel.

    Args:
        objectives: At equal distances from 0 to 1.
        count: Number of parts.
    """
    changes = np.abs(np.diff(objectives))
    length = np.full(len(changes), 1 / len(changes))
    density = (length + changes / changes.sum()) / 2 if changes.sum() > 0 else length
    mass = np.concatenate([[0], density.cumsum()])
    inner = np.interp(np.arange(1, count) / count, mass, np.linspace(0, 1, len(mass)))
    return [0.0, *inner.tolist()]


async def _refine(passes: Passes, question: Question, integral: _Integral, count: int) -> None:
    """Halves the worst trapezoids."""
    worst = integral.worst(count)
    pictures = torch.cat([each.line.at(torch.tensor([each.middle])) for each in worst])
    values, gradients = await passes.gradients(pictures, question.objective)
    middles = [
        _Corner(each.middle, float(value), gradient)
        for each, value, gradient in zip(worst, values, gradients, strict=True)
    ]
    integral.halve(worst, middles)
