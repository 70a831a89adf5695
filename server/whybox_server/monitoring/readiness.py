"""When a server may be sent requests."""

from collections.abc import Mapping

STOPPING = "stopping"
"""State of every pool of a server that is about to end."""

SERVER_STOPPING = "SERVER_STOPPING"
"""Reason of the errors of what a planned stop cuts off."""


def is_ready(pools: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether every pool of every model can answer; a server without models is not ready.

    Args:
        pools: State of each worker pool by model and pool, as `Gateway.readiness` gives it.
    """
    return bool(pools) and all(state == "ready" for model in pools.values() for state in model.values())


def is_stopping(pools: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the server is about to end.

    Args:
        pools: As for `is_ready`.
    """
    return any(state == STOPPING for model in pools.values() for state in model.values())
