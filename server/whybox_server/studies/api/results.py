"""Results of studies, computed beside the event loop and kept until an answer changes."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from whybox import v1
from whybox.v1.errors import DeadlineExceededError, FailedPreconditionError
from whybox_server.studies.state import RawVotes

# Studies whose results are kept, each with its answers: some megabytes.
_KEPT = 8


class Votes(Protocol):
    """Where answers are; see `StudyStore.votes`."""

    async def votes(self, study_id: str) -> RawVotes:
        """All answers of a study."""


def computed(raw: RawVotes) -> bytes:
    """The file results.json of a study, which has at least one answer."""
    # Imported in the thread that computes: a server that is never asked for results loads no statistics.
    from whybox_server.studies.report.document import REDRAWS, rendered
    from whybox_server.studies.report.of_study import subject_of
    from whybox_server.studies.results.compute import compute
    from whybox_server.studies.results.reading import columns

    votes, design = columns(raw)
    return rendered(subject_of(raw), compute(votes, design, seed=0, redraws=REDRAWS)).encode()


class Results:
    """The results of studies; use `running`.

    Args:
        votes: Where answers are.
        threads: What computes, with one thread: the machine has other work.
        compute: From answers to results.json.
    """

    def __init__(
        self, votes: Votes, threads: ThreadPoolExecutor, compute: Callable[[RawVotes], bytes] = computed
    ) -> None:
        self._votes, self._threads, self._compute = votes, threads, compute
        self._kept: OrderedDict[str, tuple[RawVotes, bytes]] = OrderedDict()
        # A study has at most one call that computes, and one behind it that shall see the answers since.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting: dict[str, asyncio.Task[v1.StudyResults]] = {}
        self._tasks: set[asyncio.Task[v1.StudyResults]] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, votes: Votes, compute: Callable[[RawVotes], bytes] = computed) -> AsyncIterator["Results"]:
        """Results that can be asked for as long as the context lasts."""
        threads = ThreadPoolExecutor(1, "results")
        results = cls(votes, threads, compute)
        try:
            yield results
        finally:
            for task in results._tasks:
                task.cancel()
            await asyncio.gather(*results._tasks, return_exceptions=True)
            threads.shutdown(wait=False, cancel_futures=True)

    async def of(self, study_id: str, timeout: float) -> v1.StudyResults:
        """The results from all answers that were there when this was called.

        Args:
            study_id: The study.
            timeout: Seconds that the caller waits. The computation goes on when they are over.

        Raises:
            StudyNotFoundError: There is no such study.
            FailedPreconditionError: It has no answers.
            DeadlineExceededError: The results take longer.
        """
        task = self._waiting.get(study_id)
        if task is None:
            lock = self._locks.setdefault(study_id, asyncio.Lock())
            task = self._waiting[study_id] = asyncio.create_task(self._fresh(study_id, lock))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        done, _ = await asyncio.wait([task], timeout=timeout)
        if not done:
            raise DeadlineExceededError(
                "the results were not ready in time; their computation goes on, so ask again, or allow more time"
            )
        return task.result()

    async def _fresh(self, study_id: str, lock: asyncio.Lock) -> v1.StudyResults:
        async with lock:
            # Who asks from now on wants the answers from now on.
            del self._waiting[study_id]
            raw = await self._votes.votes(study_id)
            if not raw.items:
                raise FailedPreconditionError("the study has no answers yet; wait for the first", reason="NO_ANSWERS")
            known = self._kept.get(study_id)
            if known is not None and known[0] == raw:
                json = known[1]
            else:
                json = await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, raw)
                self._kept[study_id] = raw, json
            self._kept.move_to_end(study_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return v1.StudyResults(study=study_id, digest=raw.study.digest, json=json)

    def _done(self, task: "asyncio.Task[v1.StudyResults]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Its callers may all have left.
            task.exception()
