"""Requests as the jobs that the gateway makes of them, and pools that hold every job back until a test releases it."""

import asyncio
from collections import defaultdict

from google.rpc import code_pb2

from server.backends import Asked, FakeBackend, Outcome
from server.gateway.calls import request
from whybox import v1

# The target class of each explanation is its position, by which the fake pools know it.
EXPLANATIONS = [{"method": "integrated_gradients", "target_class": 0}, {"method": "grad_cam", "target_class": 1}]
JOBS = ["prediction", "explanations[0]", "explanations[1]", "robustness"]
EVERYTHING = request(prediction={}, explanations=EXPLANATIONS, robustness={}, seed=7)


def job_name(asked: v1.AnalyzeRequest) -> str:
    """The first part of the request, by its name in the whole answer."""
    if asked.explanations:
        return f"explanations[{asked.explanations[0].target_class}]"
    return next(field.name for field, _ in asked.ListFields() if field.name in ("prediction", "bias", "robustness"))


def _answer_to(asked: v1.AnalyzeRequest) -> v1.AnalyzeResponse:
    """What a worker answers, which knows nothing of the other parts."""
    answer = v1.AnalyzeResponse()
    for field, _ in asked.ListFields():
        if field.name in ("prediction", "bias", "robustness"):
            getattr(answer, field.name).status.code = code_pb2.OK
    for options in asked.explanations:
        answer.explanations.add(method=options.method, target_class=options.target_class)
    answer.receipt.runtime["torch"] = "2.14"
    answer.receipt.runtime[job_name(asked)] = "1"
    return answer


class Releasing(FakeBackend):
    """Holds every job back until it is released, then answers with what is set for it.

    Attributes:
        outcomes: What becomes of a job, by its name; one that is missing succeeds after 5 ms.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, Outcome] = {}
        self._released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def release(self, *names: str) -> None:
        for name in names:
            self._released[name].set()

    async def outcome(self, asked: Asked) -> Outcome:
        name = job_name(asked.work.request)
        await self._released[name].wait()
        success = v1.WorkResult(response=_answer_to(asked.work.request), compute_ms=5, final=True)
        return self.outcomes.get(name, success)

    @property
    def jobs(self) -> dict[str, Asked]:
        """The jobs so far, by name."""
        return {job_name(asked.work.request): asked for asked in self.asked}

    @property
    def given_up(self) -> set[str]:
        """Names of the jobs that were cancelled."""
        return {job_name(asked.work.request) for asked in self.cancelled}
