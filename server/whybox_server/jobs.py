"""From a request to the units of work that run in parallel, and from their results to parts of the answer."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.rpc.status_pb2 import Status

from whybox import v1
from whybox_server.torchserve.config import PoolKind

Part = v1.Prediction | v1.Explanation | v1.Robustness | v1.Bias


@dataclass(frozen=True)
class Job:
    """The parts of a request that one worker computes together.

    Attributes:
        kind: The pool that does it.
        request: The picture with the options of these parts alone.
        index: Position of its explanation in the whole request; 0 for other parts.
    """

    kind: PoolKind
    request: v1.AnalyzeRequest
    index: int = 0

    @property
    def names(self) -> list[str]:
        """Its parts as in `PartTiming.part`."""
        explanations = [f"explanations[{self.index}]"] if self.request.explanations else []
        return [
            *(name for name in ("prediction", "robustness", "bias") if self.request.HasField(name)),
            *explanations,
        ]

    @property
    def label(self) -> tuple[str, str]:
        """What and by which method, for metrics."""
        if self.request.explanations:
            return "explanation", self.request.explanations[0].method
        return self.names[0], ""

    def failed(self, status: Status) -> v1.AnalyzeResponse:
        """What stands in the answer where this job has none."""
        response = v1.AnalyzeResponse()
        for name in ("prediction", "robustness", "bias"):
            if self.request.HasField(name):
                getattr(response, name).status.CopyFrom(status)
        for options in self.request.explanations:
            response.explanations.add(method=options.method, status=status)
        return response


def jobs(request: v1.AnalyzeRequest) -> Iterator[Job]:
    """Splits a validated request, the prediction first.

    Bias flags rest on the prediction and cost nothing beyond it: both are one job for the prediction pool.
    """
    common = v1.AnalyzeRequest(model=request.model, version=request.version, image=request.image, seed=request.seed)
    if request.HasField("prediction") or request.HasField("bias"):
        job = _copy(common)
        if request.HasField("prediction"):
            job.prediction.CopyFrom(request.prediction)
        if request.HasField("bias"):
            job.bias.CopyFrom(request.bias)
        yield Job(PoolKind.PREDICT, job)
    for index, options in enumerate(request.explanations):
        job = _copy(common)
        job.explanations.append(options)
        yield Job(PoolKind.ANALYZE, job, index)
    if request.HasField("robustness"):
        job = _copy(common)
        job.robustness.CopyFrom(request.robustness)
        yield Job(PoolKind.ANALYZE, job)


def _copy(message: v1.AnalyzeRequest) -> v1.AnalyzeRequest:
    copy = v1.AnalyzeRequest()
    copy.CopyFrom(message)
    return copy
