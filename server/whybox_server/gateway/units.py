"""From a request to the units of work that run in parallel, and from their results to parts of the answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from google.rpc.status_pb2 import Status

from whybox import v1
from whybox_server.gateway.parts import SINGLE_PARTS
from whybox_server.gateway.pools import PoolKind


class Part(NamedTuple):
    """One part of an answer.

    Attributes:
        name: As in `PartTiming.part`.
        kind: "prediction", "explanation", "robustness", "bias" or "certified".
        method: The explainer; empty where the part has no choice.
        status: How it ended.
    """

    name: str
    kind: str
    method: str
    status: Status


@dataclass(frozen=True)
class Job:
    """The parts of a request that one worker computes together.

    Attributes:
        kind: The pool that does it.
        request: The options of these parts alone, without the picture.
        indices: Positions of its explanations in the whole request.
    """

    kind: PoolKind
    request: v1.AnalyzeRequest
    indices: tuple[int, ...] = ()

    def answered(self, response: v1.AnalyzeResponse) -> list[Part]:
        """The parts of its answer, whose explanations learn their place in the whole request."""
        parts = [
            Part(name, name, "", getattr(response, name).status) for name in SINGLE_PARTS if response.HasField(name)
        ]
        for index, explanation in zip(self.indices, response.explanations, strict=True):
            explanation.index = index
            parts.append(Part(f"explanations[{index}]", "explanation", explanation.method, explanation.status))
        return parts

    def failed(self, status: Status) -> v1.AnalyzeResponse:
        """What stands in the answer where this job has none."""
        response = v1.AnalyzeResponse()
        for name in SINGLE_PARTS:
            if self.request.HasField(name):
                getattr(response, name).status.CopyFrom(status)
        for options in self.request.explanations:
            response.explanations.add(method=options.method, status=status)
        return response


def jobs(request: v1.AnalyzeRequest) -> Iterator[Job]:
    """Splits a validated request, the prediction first.

    Bias flags rest on the prediction and cost nothing beyond it: both are one job for the prediction pool. Maps of one
    method are one job: they cost the same, and share their passes.
    """
    if request.HasField("prediction") or request.HasField("bias"):
        job = _common(request)
        if request.HasField("prediction"):
            job.prediction.CopyFrom(request.prediction)
        if request.HasField("bias"):
            job.bias.CopyFrom(request.bias)
        yield Job(PoolKind.PREDICT, job)
    for method in dict.fromkeys(options.method for options in request.explanations):
        job = _common(request)
        indices = tuple(index for index, options in enumerate(request.explanations) if options.method == method)
        job.explanations.extend(request.explanations[index] for index in indices)
        yield Job(PoolKind.ANALYZE, job, indices)
    if request.HasField("robustness"):
        job = _common(request)
        job.robustness.CopyFrom(request.robustness)
        yield Job(PoolKind.ANALYZE, job)
    if request.HasField("certified"):
        job = _common(request)
        job.certified.CopyFrom(request.certified)
        yield Job(PoolKind.ANALYZE, job)


def _common(request: v1.AnalyzeRequest) -> v1.AnalyzeRequest:
    return v1.AnalyzeRequest(model=request.model, version=request.version, seed=request.seed)
