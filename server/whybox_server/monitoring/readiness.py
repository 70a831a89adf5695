"""When a server may be sent requests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Readiness = Mapping[str, Mapping[str, Mapping[str, str]]]
"""State of each worker pool, by model, version and pool; "ready" or what it waits for."""

STOPPING = "stopping"
"""State of every pool of a server that is about to end."""

SERVER_STOPPING = "SERVER_STOPPING"
"""Reason of the errors of what a planned stop cuts off."""


@dataclass(frozen=True)
class Load:
    """What a pool has to do.

    Attributes:
        works: Units of work that wait or are with a worker.
        seconds: Computing time that they are expected to take yet, all together.
    """

    works: int
    seconds: float


Loads = Iterable[tuple[str, str, str, Load]]
"""Model, version, pool, and what the pool has to do."""


def is_ready(pools: Readiness) -> bool:
    """Whether every pool of every model can answer; a server without models is not ready.

    Args:
        pools: As `Gateway.readiness` gives it.
    """
    return bool(pools) and all(state == "ready" for state in _states(pools))


def is_stopping(pools: Readiness) -> bool:
    """Whether the server is about to end.

    Args:
        pools: As for `is_ready`.
    """
    return any(state == STOPPING for state in _states(pools))


def _states(pools: Readiness) -> Iterator[str]:
    return (state for versions in pools.values() for kinds in versions.values() for state in kinds.values())
