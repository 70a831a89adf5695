"""The gateway's port: worker pools, whatever runs them."""

from enum import StrEnum
from typing import Protocol

from whybox import v1
from whybox_server.monitoring.readiness import Loads, Readiness


class PoolKind(StrEnum):
    """Each model has workers of two kinds, so that an explanation never delays a prediction."""

    PREDICT = "predict"
    ANALYZE = "analyze"


class Pool(Protocol):
    """Workers that do one kind of work for one model; see `queueing.dispatcher.Dispatcher`."""

    async def submit(self, work: v1.Work, caller: str) -> v1.WorkResult:
        """Has one unit of work done, for whom `caller` names."""


class Backend(Protocol):
    """All worker pools; see `torchserve.backend.Backend`."""

    def pool(self, model: v1.Model, kind: PoolKind) -> Pool:
        """One pool of a served model."""

    def readiness(self) -> Readiness:
        """State of each pool, by model, version and kind."""

    def loads(self) -> Loads:
        """What each pool has to do."""
