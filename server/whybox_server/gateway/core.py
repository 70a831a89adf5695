"""The core between the transports and the backend: validate, admit, fan out, assemble."""

import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from google.rpc import code_pb2

from whybox import v1
from whybox.v1.errors import InvalidRequestError, NotFoundError, WhyboxError, error_from_status
from whybox_server.gateway.instalments import RUNNING, certificate
from whybox_server.gateway.merging import merged
from whybox_server.gateway.pools import Backend, PoolKind
from whybox_server.gateway.receipts import receipt
from whybox_server.gateway.spool import Spool
from whybox_server.gateway.transfer import fill_transfers
from whybox_server.gateway.units import Job, jobs
from whybox_server.monitoring.metrics import Metrics
from whybox_server.validation.certified import check_certifiable
from whybox_server.validation.checks import quoted
from whybox_server.validation.request import validated
from whybox_server.validation.robustness import check_possible


@dataclass(frozen=True)
class _Answered:
    """A job's share of the answer, or how far that has come; and why there is none where it failed."""

    response: v1.AnalyzeResponse
    error: WhyboxError | None


class Gateway:
    """Answers requests; knows nothing of HTTP or gRPC."""

    def __init__(
        self, models: Iterable[v1.Model], backend: Backend, metrics: Metrics, spool: Spool, *, max_image_bytes: int
    ) -> None:
        self._models = {model.name: model for model in sorted(models, key=lambda model: model.name)}
        self._backend = backend
        self._metrics = metrics
        self._spool = spool
        self._max_image_bytes = max_image_bytes
        metrics.watch_pools(self.readiness)

    async def analyze(self, request: v1.AnalyzeRequest, *, request_id: str, timeout: float) -> v1.AnalyzeResponse:
        """All parts in one answer.

        Args:
            request: As it came; it is validated here.
            request_id: Id of the call.
            timeout: Seconds that the caller will wait.

        Raises:
            WhyboxError: The request is wrong, or no part could be answered.
        """
        whole = v1.AnalyzeResponse()
        async with aclosing(self.stream(request, request_id=request_id, timeout=timeout)) as parts:
            async for part in parts:
                # What every part repeats is merged to the same; maps and repeated fields add up.
                if not _is_running(part):
                    whole.MergeFrom(part)
        whole.explanations.sort(key=lambda explanation: explanation.index)
        return whole

    async def stream(
        self, request: v1.AnalyzeRequest, *, request_id: str, timeout: float
    ) -> AsyncGenerator[v1.AnalyzeResponse, None]:
        """The parts one by one as they are ready, the prediction first; arguments and errors as in `analyze`.

        A certificate is repeated while it grows, with the state "running" and without a timing until it is complete.
        """
        started = time.perf_counter()
        model = self.get_model(request.model, request.version)
        request = validated(request, model, self._max_image_bytes)
        common = v1.AnalyzeResponse(
            request_id=request_id, model=model.name, version=model.version, receipt=receipt(request, model)
        )
        work = list(jobs(request))
        spooled = any(job.kind is PoolKind.ANALYZE for job in work)
        with self._spool.lent(request.image) if spooled else nullcontext() as path:
            units = [_unit(job, request.image, path, request_id) for job in work]
            async with aclosing(self._parts(work, units, timeout)) as parts:
                async for part in parts:
                    part.MergeFrom(common)
                    part.timings.total_ms = 1000 * (time.perf_counter() - started)
                    yield part

    async def _parts(
        self, work: Sequence[Job], units: Sequence[v1.Work], timeout: float
    ) -> AsyncGenerator[v1.AnalyzeResponse, None]:
        """What each job answers as soon as it does, the prediction first; raises where none of their parts succeeds."""
        sources = [self._answers(job, unit, timeout) for job, unit in zip(work, units, strict=True)]
        # A prediction comes first in `jobs`, and is waited for before the others.
        first = 1 if work[0].kind is PoolKind.PREDICT else 0
        failed: list[_Answered] = []
        succeeded = False
        async with aclosing(merged(sources, first)) as answers:
            async for answered in answers:
                if answered.error is not None and not succeeded:
                    # Held back: if every part fails, the call fails.
                    failed.append(answered)
                    continue
                # What is running may still fail.
                succeeded = succeeded or not _is_running(answered.response)
                for part in (answered, *failed) if succeeded else (answered,):
                    yield part.response
                if succeeded:
                    failed.clear()
        if failed and failed[0].error is not None:
            raise failed[0].error

    def list_models(self) -> list[v1.Model]:
        """The served models without their labels, by name."""
        models = []
        for model in self._models.values():
            brief = v1.Model()
            brief.CopyFrom(model)
            brief.ClearField("labels")
            models.append(brief)
        return models

    def get_model(self, name: str, version: str = "") -> v1.Model:
        """One model with its labels.

        Raises:
            NotFoundError: There is no such model or version.
        """
        model = self._models.get(name)
        if model is None:
            served = ", ".join(self._models)
            raise NotFoundError(
                f"there is no model {quoted(name)} here; served: {served}", reason="UNKNOWN_MODEL", field="model"
            )
        if version not in ("", model.version):
            message = (
                f"{name} is served in version {model.version!r}, not {quoted(version)}; "
                "leave the version out to take it"
            )
            raise NotFoundError(message, reason="UNKNOWN_VERSION", field="version")
        return model

    def readiness(self) -> Mapping[str, Mapping[str, str]]:
        """State of each worker pool, by model and pool; "ready" or what it waits for."""
        return self._backend.readiness()

    async def _answers(self, job: Job, unit: v1.Work, timeout: float) -> AsyncGenerator[_Answered, None]:
        """Has one job done, and tells how far it is; only an error that condemns the whole request is raised."""
        started = time.perf_counter()
        error: WhyboxError | None = None
        compute_ms = 0.0
        try:
            async with aclosing(self._results(job, unit, timeout)) as results:
                async for result in results:
                    compute_ms += result.compute_ms
                    response = result.response
                    if _is_running(response):
                        yield _Answered(response, None)
        except InvalidRequestError:
            raise
        except WhyboxError as failure:
            error = failure
            response = job.failed(failure.to_status())
        seconds = time.perf_counter() - started
        parts = job.answered(response)
        for part in parts:
            response.timings.parts.add(part=part.name, total_ms=1000 * seconds, compute_ms=compute_ms)
            self._metrics.part(job.request.model, part.kind, part.method, code_pb2.Code.Name(part.status.code), seconds)
        if error is None and all(part.status.code != code_pb2.OK for part in parts):
            error = error_from_status(parts[0].status)
        yield _Answered(response, error)

    async def _results(self, job: Job, unit: v1.Work, timeout: float) -> AsyncGenerator[v1.WorkResult, None]:
        """What the workers answer: once, or to every piece of a certificate."""
        started = time.perf_counter()
        model, pool = self._models[job.request.model], self._backend.pool(job.request.model, job.kind)
        others = [other for other in self._models.values() if other.name != model.name]
        if job.request.HasField("certified"):
            check_certifiable(model)
            async with aclosing(certificate(pool, unit, timeout)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        if job.request.HasField("robustness"):
            check_possible(job.request.robustness, model, others)
        result = await pool.submit(unit, timeout)
        if result.status.code != code_pb2.OK:
            raise error_from_status(result.status)
        if job.request.robustness.transfer:
            left = timeout - (time.perf_counter() - started)
            await fill_transfers(result, others, self._backend, request_id=unit.request_id, timeout=left)
        yield result


def _is_running(response: v1.AnalyzeResponse) -> bool:
    return response.certified.state == RUNNING


def _unit(job: Job, picture: bytes, path: Path | None, request_id: str) -> v1.Work:
    """What a worker is sent: a prediction with its picture, an analysis with the place of the one for all."""
    unit = v1.Work(request_id=request_id, request=job.request)
    if job.kind is PoolKind.PREDICT:
        unit.request.image = picture
    else:
        unit.picture_path = str(path)
    return unit
