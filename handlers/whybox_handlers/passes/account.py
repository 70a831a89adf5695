"""Passes through the network, as explainers and attacks see them: they await a pass and account for what they spend.

`scheduler.run` drives the coroutines that await here.
"""

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from whybox.v1 import errors
from whybox.v1.vocabulary import DEADLINE
from whybox_handlers.models.runtimes.serving import Served
from whybox_handlers.passes.computations import Compute, differentiate, differentiate_head, differentiate_margin, serve

Clock = Callable[[], float]
"""Tells the time in seconds, by default those since the epoch; tests turn a clock of their own."""

StoppedBy = Literal["", "done", "tolerance", "evaluations", "deadline", "flat", "converged"]
"""What ended a method: see `stopped_by` of the contract's messages; "" is nothing."""

# The factor by which the next passes may be slower than the last ones; and many passes, on average.
_CAUTION = 1.5
_PLANNED_CAUTION = 1.1


@dataclass
class Limits:
    """How long a piece of work may go on.

    Attributes:
        deadline: Time of the clock, in seconds, at which the work is stopped; None for no deadline.
        lease: A file that is removed when the caller is gone; None for a caller that stays.
        clock: Tells the time. It measures durations too: a clock that is set anew moves the deadline as well.
        aim: Time by which methods that can end at any time plan to be done; None for the deadline itself.
        cut_short: Whether time has ended or shortened anything so far. Everything that depends on time asks `check`,
            `Passes.grant` or `Passes.fit`, which note it.
        paused: Seconds during which the work lay still, for other work to have its turn.
    """

    deadline: float | None = None
    lease: Path | None = None
    clock: Clock = time.time
    aim: float | None = None
    cut_short: bool = False
    paused: float = 0.0

    def working_clock(self) -> float:
        """Seconds on the clock without those during which the work lay still."""
        return self.clock() - self.paused

    def check(self) -> None:
        """Raises if the work must stop.

        Raises:
            DeadlineExceededError: The deadline has passed.
            CancelledError: The caller is gone.
        """
        if self.seconds_left() <= 0:
            self.cut_short = True
            raise errors.DeadlineExceededError("the deadline passed before the work was done; allow more time")
        if self.lease is not None and not self.lease.exists():
            raise errors.CancelledError("the caller went away before the answer was ready")

    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return math.inf if self.deadline is None else self.deadline - self.clock()

    def seconds_to_plan(self) -> float:
        """Seconds until the aim or, without one, until the deadline; infinite without either."""
        return self.seconds_left() if self.aim is None else self.aim - self.clock()


@dataclass(frozen=True)
class Grant:
    """What a method may spend next; true if that is anything.

    Attributes:
        count: Evaluations, from 0.
        stopped_by: What keeps `count` below the wanted number: "evaluations", "deadline", or "" for nothing.
    """

    count: int
    stopped_by: StoppedBy

    def __bool__(self) -> bool:
        return self.count > 0


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
    """The access of one explanation or attack to the network, and the account of what it spends.

    Args:
        limits: Deadline and clock; `run` stops the passes themselves.
        budget: Evaluations that may be spent; None for no limit.
        unit: The evaluations that the budget counts.
        share: Share of the time until the deadline that `grant` gives away, 0 to 1; the rest is for what comes after.
        kept_back: Seconds before the aim that are not shared at all.

    Attributes:
        unit: The evaluations that the budget counts.
        clock: That of the limits, which stands still while the work does; for durations.
        forward_evaluations: Passes of one picture forward, those with a gradient included.
        gradient_evaluations: Passes of one picture forward and back.
    """

    def __init__(
        self,
        limits: Limits,
        budget: int | None = None,
        unit: Literal["gradient", "forward"] = "gradient",
        share: float = 1.0,
        kept_back: float = 0.0,
    ) -> None:
        self._limits = limits
        self._kept_back = kept_back
        if limits.deadline is not None:
            self._kept_back += (1 - share) * max(limits.seconds_to_plan() - kept_back, 0.0)
        self._budget = budget
        self.unit = unit
        self._seconds_per_row = 0.0
        self.forward_evaluations = 0
        self.gradient_evaluations = 0

    @property
    def clock(self) -> Clock:
        """See above."""
        return self._limits.working_clock

    @property
    def spent(self) -> int:
        """Evaluations spent, as the budget counts them."""
        return self.gradient_evaluations if self.unit == "gradient" else self.forward_evaluations

    def unlimited(self) -> "Passes":
        """An account of its own with the same time and without a budget."""
        return Passes(self._limits, kept_back=self._kept_back)

    def with_budget(self, budget: int | None, unit: Literal["gradient", "forward"], share: float = 1.0) -> "Passes":
        """An account of its own with another budget and a share of the time of this one."""
        return Passes(self._limits, budget, unit, share, self._kept_back)

    def grant(self, wanted: int) -> Grant:
        """The part of `wanted` more evaluations that budget and deadline allow.

        Methods that can end at any time ask before each batch. Their passes so far tell the time of the next ones, so
        that the first ones are always granted.
        """
        granted = Grant(wanted, "")
        if self._budget is not None and self._budget - self.spent < wanted:
            granted = Grant(max(self._budget - self.spent, 0), "evaluations")
        seconds = max(self._limits.seconds_to_plan() - self._kept_back, 0.0)
        if _CAUTION * granted.count * self._seconds_per_row > seconds:
            granted = Grant(int(seconds / (_CAUTION * self._seconds_per_row)), DEADLINE)
            self._limits.cut_short = True
        return granted

    def fit(self, wanted: int) -> int:
        """Sets the budget to the part of `wanted` evaluations in all that the deadline leaves, and returns it.

        For methods that plan ahead. The passes so far, at least one, tell the time of the others.
        """
        seconds = max(self._limits.seconds_to_plan() - self._kept_back, 0.0)
        left = seconds / (_PLANNED_CAUTION * self._seconds_per_row) if self._seconds_per_row else math.inf
        self._budget = int(min(self.spent + left, wanted))
        self._limits.cut_short |= self._budget < wanted
        return self._budget

    async def logits(self, pictures: Tensor) -> Tensor:
        """[N, classes] of the serving network (ONNX Runtime) for [N, 3, H, W] pictures in [0, 1]."""
        return (await self.look(pictures)).logits

    async def look(self, pictures: Tensor) -> Served:
        """Logits and feature maps of the serving network for [N, 3, H, W] pictures in [0, 1]."""
        return Served.of(await self._spend(serve, pictures))

    async def forward(self, compute: Compute, *rows: Tensor) -> tuple[Tensor, ...]:
        """Another way forward than `serve`, for example `Occluded`; one evaluation for each row."""
        return await self._spend(compute, *rows)

    async def gradients(
        self, pictures: Tensor, objective: Tensor, compute: Compute | None = None
    ) -> tuple[Tensor, Tensor]:
        """The objective and its gradient with respect to the pictures.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            objective: [classes]: weights of the logits; their weighted sum is differentiated.
            compute: A rule of propagation in place of the gradient's, see `explanations.propagation`.

        Returns:
            [N] values of the objective and [N, 3, H, W].
        """
        objectives = objective.expand(len(pictures), -1)
        values, gradients = await self._spend(compute or differentiate, pictures, objectives)
        self.gradient_evaluations += len(pictures)
        return values, gradients

    async def margins(self, pictures: Tensor, labels: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
        """[N, classes] logits, and [N, 3, H, W] gradients of the labels' leads over their rivals.

        Args:
            pictures: [N, 3, H, W] in [0, 1].
            labels: [N] indices of classes.
            rivals: [N]; -1 is the other class with the largest logit.
        """
        logits, gradients = await self._spend(differentiate_margin, pictures, labels, rivals)
        self.gradient_evaluations += len(pictures)
        return logits, gradients

    async def head_gradients(self, maps: Tensor | None, objective: Tensor) -> tuple[Tensor, Tensor]:
        """The maps, not None, and the objective's gradient with respect to them, both [C, h, w].

        It costs nothing: the gradient goes through the head alone.

        Args:
            maps: [C, h, w], of the serving network.
            objective: [classes]: weights of the logits.

        Raises:
            ValueError: The network has no feature maps.
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
            compute: The rule, see `explanations.propagation`.
            pictures: [N, 3, H, W] in [0, 1].
            baselines: The same, one for each picture.
            objective: [classes]: weights of the logits.
        """
        objectives = objective.expand(len(pictures), -1)
        values, baseline_values, multipliers = await self._spend(compute, pictures, baselines, objectives)
        self.forward_evaluations += len(pictures)  # the baselines go through the network too
        self.gradient_evaluations += len(pictures)
        return values, baseline_values, multipliers

    async def _spend(self, compute: Compute, *rows: Tensor) -> tuple[Tensor, ...]:
        started = self.clock()
        answer = await Wanted(compute, rows)
        self._seconds_per_row = (self.clock() - started) / len(rows[0])
        self.forward_evaluations += len(rows[0])
        return answer
