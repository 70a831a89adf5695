"""The port of the queue: where work is done, whatever runs it."""

from collections.abc import Callable
from typing import Protocol

from whybox import v1
from whybox.v1.errors import UnavailableError
from whybox_server.monitoring.readiness import SERVER_STOPPING

_RETRY_AFTER = 2.0


class WorkerDiedError(UnavailableError):
    """The worker that had some work ended.

    Attributes:
        by_itself: Whether it ended alone, which may be the fault of the work, and not with TorchServe.
    """

    by_itself = False


class Station(Protocol):
    """Workers that take from one line, batch after batch.

    Attributes:
        name: For messages.
        workers: Number of processes.
        places: Units of work that it may hold at once: those in the hands of workers, and those that wait so that the
            next batch is full.
        state: "ready", or what it waits for.
        is_ready: Whether it takes work.
        is_stopped: Whether it is gone for good.
    """

    name: str
    workers: int
    places: int

    @property
    def state(self) -> str:
        """See above."""

    @property
    def is_ready(self) -> bool:
        """See above."""

    @property
    def is_stopped(self) -> bool:
        """See above."""

    def watched_by(self, changed: Callable[[], None]) -> None:
        """Has `changed` called after each change of what the properties say."""

    async def do(self, work: v1.Work) -> v1.WorkResult:
        """What a worker makes of work. The work stays with the worker if the caller is cancelled.

        Raises:
            WorkerDiedError: The worker died meanwhile.
            UnavailableError: No worker takes it.
            InternalError: The answer cannot be read.
        """


def worker_died(name: str) -> WorkerDiedError:
    """What is told if the worker of a pool died."""
    return WorkerDiedError(
        f"the worker of {name} that had this request died; it is being restarted, try again in a moment",
        reason="WORKER_DIED",
        retry_after=_RETRY_AFTER,
    )


def server_stopping() -> UnavailableError:
    """What is told to callers whose work a planned stop cuts off."""
    return UnavailableError(
        "the server is stopping; send the request to another server, or again when this one has restarted",
        reason=SERVER_STOPPING,
        retry_after=_RETRY_AFTER,
    )
