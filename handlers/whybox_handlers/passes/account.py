"""Passes through the network, as explainers see them: they await a pass, and account for what they spend.

`scheduler.run` drives the coroutines that await here.
"""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from whybox.v1 import errors
from whybox_handlers.passes.computations import Compute, differentiate, differentiate_head, differentiate_margin, serve

# Time kept back, before a deadline, for what comes after the last pass.
_RESERVE_SECONDS = 0.05
# By how much the next passes may be slower than the last ones; and many passes, in the mean.
_CAUTION = 1.5
_PLANNED_CAUTION = 1.1


@dataclass(frozen=True)
class Limits:
    """Until when somebody's work goes on.

    Attributes:
        deadline: Seconds since the epoch; None for no deadline.
        lease: A file that is removed when the caller is gone; None for a caller that stays.
    """

    deadline: float | None = None
    lease: Path | None = None

    def check(self) -> None:
        """Raises where the work must stop.

        Raises:
            DeadlineExceededError: The deadline has passed.
            CancelledError: The caller is gone.
        """
        if self.seconds_left() <= 0:
            raise errors.DeadlineExceededError("the deadline passed before the work was done; allow more time")
        if self.lease is not None and not self.lease.exists():
            raise errors.CancelledError("the caller went away before the answer was ready")

    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - time.time()


@dataclass(frozen=True)
class Wanted:
    """What a coroutine waits for: a computation and the rows of its arguments."""

    compute: Compute
    rows: tuple[Tensor, ...]

    def __await__(self) -> Generator["Wanted", tuple[Tensor, ...], tuple[Tensor, ...]]:
        return (yield self)

    def __len__(self) -> int:
        return len(self.rows[0])


class Passes:
    """One explanation's access to the network, and the account of what it spends.

    Args:
        limits: Its deadline; the passes themselves are stopped by `run`.
        budget: Evaluations that it may spend; None for as many as it takes.
        unit: What of it the budget counts.
        share: Of the time until the deadline, what `grant` gives away; the rest is for what comes after.
        kept_back: Seconds before the deadline that are not to be shared at all.

    Attributes:
        unit: What the budget counts.
        forward_evaluations: Passes of one picture forward, those with a gradient included.
        gradient_evaluations: Passes of one picture forward and back.
        stopped_by: What limited the last `grant`: "evaluations", "deadline", or "" for nothing.
    """

    def __init__(
        self,
        limits: Limits,
        budget: int | None = None,
        unit: Literal["gradient", "forward"] = "gradient",
        share: float = 1.0,
        kept_back: float = _RESERVE_SECONDS,
    ) -> None:
        self._limits = limits
        self._kept_back = kept_back
        if limits.deadline is not None:
            self._kept_back += (1 - share) * max(limits.seconds_left() - kept_back, 0.0)
        self._budget = budget
        self.unit = unit
        self._seconds_per_row = 0.0
        self.forward_evaluations = 0
        self.gradient_evaluations = 0
        self.stopped_by = ""

    @property
    def _spent(self) -> int:
        """Of what the budget counts."""
        return self.gradient_evaluations if self.unit == "gradient" else self.forward_evaluations

    def unlimited(self) -> "Passes":
        """An account of its own with the same time and without a budget."""
        return Passes(self._limits, kept_back=self._kept_back)

    def with_budget(self, budget: int | None, unit: Literal["gradient", "forward"], share: float = 1.0) -> "Passes":
        """An account of its own with another budget and a share of the time of this one."""
        return Passes(self._limits, budget, unit, share, self._kept_back)

    def grant(self, wanted: int) -> int:
        """How many of `wanted` more evaluations budget and deadline allow, from 0; `stopped_by` tells what limits them.

        Methods that can end at any time ask before each batch; the time is judged by their passes so far, so that the
        first ones are granted in any case.
        """
        granted, self.stopped_by = wanted, ""
        if self._budget is not None and self._budget - self._spent < granted:
            granted, self.stopped_by = max(self._budget - self._spent, 0), "evaluations"
        seconds = max(self._limits.seconds_left() - self._kept_back, 0.0)
        if _CAUTION * granted * self._seconds_per_row > seconds:
            granted, self.stopped_by = int(seconds / (_CAUTION * self._seconds_per_row)), "deadline"
        return granted

    def fit(self, wanted: int) -> int:
        """Makes the budget what the deadline leaves of `wanted` evaluations in all, and returns it.

        For methods that plan ahead: it is judged by the passes so far, of which there must be one.
        """
        seconds = max(self._limits.seconds_left() - self._kept_back, 0.0)
        left = seconds / (_PLANNED_CAUTION * self._seconds_per_row) if self._seconds_per_row else math.inf
        self._budget = int(min(self._spent + left, wanted))
        return self._budget

    async def logits(self, pictures: Tensor) -> Tensor:
        """[N, classes] of the serving network (ONNX Runtime) for [N, 3, H, W] pictures in [0, 1]."""
        logits, *_ = await self._spend(serve, pictures)
        return logits

    async def logits_and_maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[N, classes] and the last feature maps [N, C, h, w], of the serving network."""
        logits, maps = await self._spend(serve, pictures)
        return logits, maps

    async def forward(self, compute: Compute, *rows: Tensor) -> tuple[Tensor, ...]:
        """Another way forward than `serve`, see `local_passes`; one evaluation for each row."""
        return await self._spend(compute, *rows)

    async def gradients(
        self, pictures: Tensor, objective: Tensor, compute: Compute | None = None
    ) -> tuple[Tensor, Tensor]:
        """The objective and its gradient with respect to the pictures, by torch.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            objective: [classes]: weights of the logits; their weighted sum is differentiated.
            compute: Another rule of propagation than the gradient's, see `propagation`.

        Returns:
            [N] values of the objective and [N, 3, H, W].
        """
        objectives = objective.expand(len(pictures), -1)
        values, gradients = await self._spend(compute or differentiate, pictures, objectives)
        self.gradient_evaluations += len(pictures)
        return values, gradients

    async def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """[N, classes] logits by torch, and [N, 3, H, W] gradients of the labels' leads over their rivals.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            labels: [N] indices of classes.
            rivals: [N]; -1 is whichever other class is the nearest.
        """
        logits, gradients = await self._spend(differentiate_margin, pictures, labels, rivals)
        self.gradient_evaluations += len(pictures)
        return logits, gradients

    async def head_gradients(self, maps: Tensor | None, objective: Tensor) -> tuple[Tensor, Tensor]:
        """The maps, which are sure to exist, and the objective's gradient with respect to them, both [C, h, w].

        Nothing is charged for it: the gradient goes through the head alone.

        Args:
            maps: [C, h, w], of the serving network.
            objective: [classes]: weights of the logits.

        Raises:
            ValueError: There are no maps: the network has none.
        """
        if maps is None:
            raise ValueError("the network has no feature maps")
        (gradients,) = await Wanted(differentiate_head, (maps[None], objective[None]))
        return maps, gradients[0]

    async def multipliers(
        self, compute: Compute, pictures: Tensor, baselines: Tensor, objective: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Propagation of differences from baselines: [N] objectives of pictures and of baselines, [N, 3, H, W].

        Args:
            compute: The rule, see `propagation`.
            pictures: [N, 3, H, W] in [0, 1].
            baselines: The same; one for each picture.
            objective: [classes]: weights of the logits.
        """
        objectives = objective.expand(len(pictures), -1)
        values, baseline_values, multipliers = await self._spend(compute, pictures, baselines, objectives)
        self.forward_evaluations += len(pictures)  # the baselines go through the network too
        self.gradient_evaluations += len(pictures)
        return values, baseline_values, multipliers

    async def _spend(self, compute: Compute, *rows: Tensor) -> tuple[Tensor, ...]:
        started = time.perf_counter()
        answer = await Wanted(compute, rows)
        self._seconds_per_row = (time.perf_counter() - started) / len(rows[0])
        self.forward_evaluations += len(rows[0])
        return answer
