"""The gateway's port: worker pools, whatever runs them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from whybox import v1


class PoolKind(StrEnum):
    """Each model is registered twice, so that an explanation never delays a prediction."""

    PREDICT = "predict"
    ANALYZE = "analyze"


class Pool(Protocol):
    """Workers that do one kind of work for one model; see `queueing.dispatcher.Dispatcher`."""

    async def submit(self, work: v1.Work, caller: str) -> v1.WorkResult:
        """Has one unit of work done, for whom `caller` names."""


class Backend(Protocol):
    """All worker pools; see `torchserve.backend.Backend`."""

    def pool(self, model: str, kind: PoolKind) -> Pool:
        """One pool of a served model."""

    def readiness(self) -> Mapping[str, Mapping[str, str]]:
        """State of each pool, by model and kind."""
