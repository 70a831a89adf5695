"""Worker pools that answer what a test tells them to."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from whybox import v1
from whybox_server.gateway.pools import Pool, PoolKind
from whybox_server.monitoring.readiness import Load, Loads

Outcome = v1.WorkResult | Exception
"""What becomes of a unit of work: a result, or an error for the pool to raise."""


@dataclass(frozen=True)
class Asked:
    """One unit of work, as a pool was handed it.

    Attributes:
        model: Name of the pool's model.
        version: Its version.
        kind: Kind of the pool.
        work: A copy of the work.
        seconds: Until the worker must stop.
        aim: The same, until work that can end at any time plans to be done.
        caller: Who asks.
    """

    model: str
    version: str
    kind: PoolKind
    work: v1.Work
    seconds: float
    aim: float
    caller: str


class FakeBackend(ABC):
    """All pools of all models; each test room says in `outcome` what becomes of work.

    Attributes:
        asked: All work so far, in order.
        cancelled: The work that was given up.
        states: State of each pool, by model, version and kind.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.cancelled: list[Asked] = []
        self.states: dict[str, dict[str, dict[str, str]]] = {"m": {"1": {"predict": "ready", "analyze": "ready"}}}

    @abstractmethod
    async def outcome(self, asked: Asked) -> Outcome:
        """What becomes of a unit of work."""

    def pool(self, model: v1.Model, kind: PoolKind) -> Pool:
        return _FakePool(self, model, kind)

    def loads(self) -> Loads:
        return [("m", "1", "analyze", Load(3, 4.5))]

    def readiness(self) -> dict[str, dict[str, dict[str, str]]]:
        return self.states

    async def submit(self, asked: Asked) -> v1.WorkResult:
        self.asked.append(asked)
        try:
            outcome = await self.outcome(asked)
        except asyncio.CancelledError:
            self.cancelled.append(asked)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        # The gateway completes results; what a test has set stays as it is.
        result = v1.WorkResult()
        result.CopyFrom(outcome)
        return result


class _FakePool:
    def __init__(self, backend: FakeBackend, model: v1.Model, kind: PoolKind) -> None:
        self._backend, self._model, self._kind = backend, model, kind

    async def submit(self, work: v1.Work, caller: str) -> v1.WorkResult:
        kept = v1.Work()
        kept.CopyFrom(work)
        seconds, aim = (each.ToNanoseconds() / 1e9 - time.time() for each in (kept.deadline, kept.aim))
        kept.ClearField("deadline")
        kept.ClearField("aim")
        return await self._backend.submit(
            Asked(self._model.name, self._model.version, self._kind, kept, seconds, aim, caller)
        )


class InTurn(FakeBackend):
    """Answers the pieces of work for the analysis pool in turn, and every prediction alike.

    Attributes:
        pieces: What becomes of the pieces to come; None is never answered.
        prediction: What becomes of a prediction.
    """

    def __init__(self, pieces: Iterable[Outcome | None], prediction: Outcome | None = None) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.prediction = prediction

    async def outcome(self, asked: Asked) -> Outcome:
        outcome = self.prediction if asked.kind is PoolKind.PREDICT else self.pieces.pop(0)
        if outcome is None:
            await asyncio.Event().wait()
            raise AssertionError
        await asyncio.sleep(0)
        return outcome

    @property
    def works(self) -> list[v1.Work]:
        """The pieces of work so far."""
        return [asked.work for asked in self.asked if asked.kind is PoolKind.ANALYZE]
