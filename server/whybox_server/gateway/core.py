"""The core between the transports and the backend: validate, admit, fan out, assemble."""

import math
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from google.rpc import code_pb2

from whybox import v1
from whybox.v1.errors import InvalidRequestError, WhyboxError, as_whybox_error, error_from_status
from whybox.v1.streams import Owed
from whybox_server.access.checking import Caller
from whybox_server.gateway.audits import PIECE_BYTES, audit_file, audits_of
from whybox_server.gateway.cache.cache import Cache, Result, Results
from whybox_server.gateway.cache.keys import Source
from whybox_server.gateway.deadlines import Deadline, Reserve
from whybox_server.gateway.deployment import Choice, Deployment
from whybox_server.gateway.instalments import in_instalments
from whybox_server.gateway.parts import OPTIONS
from whybox_server.gateway.pools import PoolKind
from whybox_server.gateway.queueing.bodies import Bodies
from whybox_server.gateway.queueing.quotas import Quotas
from whybox_server.gateway.receipts import receipt
from whybox_server.gateway.sizes.room import bound, check_room
from whybox_server.gateway.spool import Spool
from whybox_server.gateway.streaming.merging import merged
from whybox_server.gateway.streaming.pieces import pieces
from whybox_server.gateway.units import Unit, units
from whybox_server.monitoring.metrics import Metrics
from whybox_server.monitoring.readiness import Loads, Readiness
from whybox_server.validation.audits import audit_format
from whybox_server.validation.request import validated

_ANYBODY = Caller()


@dataclass(frozen=True)
class _Answered:
    """A unit's share of the answer, or how far that has come; and why there is none where it failed."""

    response: v1.AnalyzeResponse
    error: WhyboxError | None = None
    final: bool = True


@dataclass(frozen=True)
class _Call:
    """What all units of a call have in common.

    Attributes:
        deployment: Whose workers answer.
        source: What the call's parts rest on.
        path: Where the encoded picture lies for the workers.
        request_id: Id of the call.
        deadline: Of the call.
        account: Who asks, as queues and quotas tell callers apart: by key or else by address.
    """

    deployment: Deployment
    source: Source
    path: Path
    request_id: str
    deadline: Deadline
    account: str


class Gateway:
    """Answers requests; knows nothing of HTTP or gRPC.

    Attributes:
        bodies: The memory for bodies of requests, which transports ask for room.
    """

    def __init__(
        self,
        deployment: Deployment,
        metrics: Metrics,
        spool: Spool,
        *,
        max_image_bytes: int,
        cache_bytes: int = 0,
        quota_seconds: float = 0,
        bodies_bytes: int = 256 * 2**20,
    ) -> None:
        self._deployment = deployment
        self._metrics = metrics
        self._spool = spool
        self._max_image_bytes = max_image_bytes
        self._reserve = Reserve()
        self._cache = Cache(cache_bytes, metrics) if cache_bytes else None
        self.bodies = Bodies(bodies_bytes)
        self._quotas = Quotas(quota_seconds) if quota_seconds else None
        metrics.watch_pools(self.readiness, self.loads)

    def switch(self, deployment: Deployment) -> None:
        """Serves another deployment; calls in flight end on the one that they began with."""
        self._deployment = deployment

    @contextmanager
    def chosen(self, name: str, version: str = "") -> Iterator[Choice]:
        """What answers a call, for as long as the block lasts.

        Raises:
            NotFoundError: There is no such model or version.
        """
        deployment = self._deployment
        with deployment.held():
            yield Choice(deployment, deployment.drawn(name, version))

    async def analyze(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: Caller = _ANYBODY,
        choice: Choice | None = None,
    ) -> v1.AnalyzeResponse:
        """All parts in one answer.

        Args:
            request: As it came; it is validated here.
            request_id: Id of the call.
            timeout: Seconds that the caller will wait.
            max_message_bytes: The largest message that the caller takes.
            caller: Who asks. Callers without a key are one caller to the cache.
            choice: From `chosen`, for a caller that needed the model before the request was whole.

        Raises:
            WhyboxError: The request is wrong, the caller has used its quota, no part could be answered, or the answer
                might be too large.
        """
        whole = v1.AnalyzeResponse()
        answers = self._stream(request, request_id, timeout, max_message_bytes, caller, choice, streamed=False)
        async with aclosing(answers) as parts:
            async for part in parts:
                # What every part repeats is merged to the same; maps and repeated fields add up.
                if part.final:
                    whole.MergeFrom(part.response)
        whole.explanations.sort(key=lambda explanation: explanation.index)
        return whole

    async def stream(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: Caller = _ANYBODY,
        choice: Choice | None = None,
    ) -> AsyncGenerator[v1.AnalyzeResponse, None]:
        """The parts one by one as they are ready, the prediction first; arguments and errors as in `analyze`.

        A part that grows is repeated, without a timing until it is complete. Parts that are too large for one message
        are sent in pieces. An error after the first part names those that are missing.
        """
        owed = Owed(request)
        answers = self._stream(request, request_id, timeout, max_message_bytes, caller, choice, streamed=True)
        try:
            async with aclosing(answers) as parts:
                async for part in parts:
                    for piece in pieces(part.response, max_message_bytes):
                        yield piece
                        owed.note(piece)
        except Exception as error:
            raise owed.told(as_whybox_error(error, request_id)) from error

    async def _stream(
        self,
        request: v1.AnalyzeRequest,
        request_id: str,
        timeout: float,
        max_message_bytes: float,
        caller: Caller,
        choice: Choice | None,
        *,
        streamed: bool,
    ) -> AsyncGenerator[_Answered, None]:
        started = time.perf_counter()
        if self._quotas is not None:
            self._quotas.check(caller.account)
        deadline = self._reserve.deadline(timeout)
        with self._held(request, choice) as chosen:
            answers = self._parts(request, request_id, deadline, max_message_bytes, caller, chosen, streamed=streamed)
            async with aclosing(answers) as parts:
                async for part in parts:
                    part.response.timings.total_ms = 1000 * (time.perf_counter() - started)
                    yield part

    @contextmanager
    def _held(self, request: v1.AnalyzeRequest, choice: Choice | None) -> Iterator[Choice]:
        if choice is None:
            with self.chosen(request.model, request.version) as chosen:
                yield chosen
        else:
            # An answer that is streamed outlives the block of its choice.
            with choice.deployment.held():
                yield replace(
                    choice, model=choice.deployment.model(request.model, request.version or choice.model.version)
                )

    async def _parts(
        self,
        request: v1.AnalyzeRequest,
        request_id: str,
        deadline: Deadline,
        max_message_bytes: float,
        caller: Caller,
        choice: Choice,
        *,
        streamed: bool,
    ) -> AsyncGenerator[_Answered, None]:
        deployment, model = choice.deployment, choice.model
        picture, asked = detached(request)
        asked = validated(asked, picture, model, OPTIONS, self._max_image_bytes)
        common = v1.AnalyzeResponse(
            request_id=request_id, model=model.name, version=model.version, receipt=receipt(asked, picture, model)
        )
        others = deployment.others(model)
        sizes = [deployment.served(other) for other in others]
        check_room(bound(asked, deployment.served(model), sizes, common), max_message_bytes, streamed=streamed)
        source = Source(caller.key, model, others, common.receipt.image_sha256)
        planned = list(units(asked))
        with self._spool.lent(picture) as path:
            del picture
            call = _Call(deployment, source, path, request_id, deadline, caller.account)
            sources = [self._answers(unit, call) for unit in planned]
            # What the prediction pool makes comes first in `units`, and is waited for before the others.
            async with aclosing(_unless_all_fail(merged(sources, _first(planned[0])))) as parts:
                async for part in parts:
                    part.response.MergeFrom(common)
                    yield part

    def check(self, request: v1.AnalyzeRequest) -> v1.Model:
        """The model that a request names; raises what is wrong with it before any work on it.

        Raises:
            WhyboxError: The request is wrong.
        """
        model = self.get_model(request.model, request.version)
        picture, asked = detached(request)
        validated(asked, picture, model, OPTIONS, self._max_image_bytes)
        return model

    def learn_sending(self, seconds: float) -> None:
        """Learns what an answer took to be written and sent: later answers set out as much earlier."""
        self._reserve.learn(seconds)

    def list_models(self) -> list[v1.Model]:
        """The served models without their labels, by name, the newest version of each first."""
        models = []
        for model in self._deployment.models:
            brief = v1.Model()
            brief.CopyFrom(model)
            brief.ClearField("labels")
            models.append(brief)
        return models

    def get_model(self, name: str, version: str = "") -> v1.Model:
        """One model with its labels; without a version the one that most requests take.

        Raises:
            NotFoundError: There is no such model or version.
        """
        return self._deployment.model(name, version)

    def versions(self, name: str) -> list[str]:
        """The versions of a served model, the newest first."""
        return self._deployment.versions(name)

    def list_audits(self, model: str, version: str = "") -> list[v1.Audit]:
        """The audits of a model.

        Raises:
            NotFoundError: There is no such model or version.
        """
        return audits_of(self.get_model(model, version))

    def get_audit(self, request: v1.GetAuditRequest) -> v1.AuditFile:
        """The file of an audit that a request names; see `read_audit` for its content.

        Raises:
            InvalidRequestError: There is no such format.
            NotFoundError: There is no such model, version or audit.
        """
        model = self.get_model(request.model, request.version)
        return audit_file(model, request.audit, audit_format(request.format))

    def read_audit(
        self, request: v1.GetAuditRequest, file: v1.AuditFile, seconds: float, piece_bytes: int = PIECE_BYTES
    ) -> AsyncGenerator[bytes, None]:
        """The content of the file that `get_audit` gave; arguments and errors as in `AuditFiles.read`."""
        deployment = self._deployment
        model = deployment.model(request.model, request.version)
        return _read_audit(deployment, model, file, seconds, piece_bytes)

    def loads(self) -> Loads:
        """What each pool has to do."""
        return self._deployment.backend.loads()

    def readiness(self) -> Readiness:
        """State of each worker pool."""
        return self._deployment.readiness()

    def _answers(self, unit: Unit, call: _Call) -> AsyncGenerator[_Answered, None]:
        """Has one unit answered, by what is known or by workers."""
        if self._cache is None:
            return self._answered(unit, self._results(unit, call), call.source.model)
        return self._reused(unit, call, self._cache)

    async def _reused(self, unit: Unit, call: _Call, cache: Cache) -> AsyncGenerator[_Answered, None]:
        """The answers to the parts of a unit, as the cache has them or workers make them."""
        compute = partial(self._results, call=call)
        with cache.sources(unit, call.source, call.deadline, compute) as sources:
            answers = [self._answered(each, results, call.source.model) for each, results in sources]
            async with aclosing(merged(answers, _first(unit))) as parts:
                async for part in parts:
                    yield part

    async def _answered(self, unit: Unit, results: Results, model: v1.Model) -> AsyncGenerator[_Answered, None]:
        """Tells how far one unit is; only an error that condemns the whole request is raised."""
        started = time.perf_counter()
        error: WhyboxError | None = None
        compute_ms, cached = 0.0, False
        try:
            async with aclosing(results):
                async for each in results:
                    cached = each.cached
                    compute_ms += each.work.compute_ms
                    response = each.work.response
                    if not each.work.final:
                        yield _Answered(response, final=False)
        except InvalidRequestError:
            raise
        except WhyboxError as failure:
            error = failure
            response = unit.failed(failure.to_status())
        seconds = time.perf_counter() - started
        parts = unit.answered(response)
        for part in parts:
            response.timings.parts.add(part=part.name, total_ms=1000 * seconds, compute_ms=compute_ms, cached=cached)
            self._metrics.part(model, part.kind, part.method, code_pb2.Code.Name(part.status.code), seconds)
        if error is None and all(part.status.code != code_pb2.OK for part in parts):
            error = error_from_status(parts[0].status)
        yield _Answered(response, error)

    async def _results(self, unit: Unit, call: _Call) -> Results:
        """What the workers answer to each piece of a unit, completed by its parts."""
        model, others = call.source.model, call.source.others
        for part in unit.parts:
            part.options.check_possible(unit.request, model, others)
        work = unit.work(call.path, model, call.request_id)
        pool = call.deployment.backend.pool(model, unit.pool)
        async with aclosing(in_instalments(pool, work, call.deadline, call.account)) as results:
            async for result in results:
                if self._quotas is not None:
                    self._quotas.charge(call.account, result.compute_ms / 1000)
                if result.final:
                    for part in unit.parts:
                        await part.finish(
                            result,
                            others,
                            call.deployment.backend,
                            request_id=call.request_id,
                            deadline=call.deadline,
                            caller=call.account,
                        )
                yield Result(result)


async def _read_audit(
    deployment: Deployment, model: v1.Model, file: v1.AuditFile, seconds: float, piece_bytes: int
) -> AsyncGenerator[bytes, None]:
    with deployment.held():
        async with aclosing(deployment.audits.read(model, file.format, seconds, piece_bytes)) as pieces:
            async for piece in pieces:
                yield piece


def _first(unit: Unit) -> int:
    """How many of the sources of an answer that begins with this unit come before the others: its prediction."""
    return 1 if unit.pool is PoolKind.PREDICT else 0


def detached(request: v1.AnalyzeRequest) -> tuple[bytes, v1.AnalyzeRequest]:
    """The picture, which has up to 20 MB, and a copy of the rest: later copies pass without it."""
    picture, rest = b"", v1.AnalyzeRequest()
    for field, value in request.ListFields():
        if field.name == "image":
            picture = value
        elif field.is_repeated:
            getattr(rest, field.name).extend(value)
        elif field.message_type is not None:
            getattr(rest, field.name).CopyFrom(value)
        else:
            setattr(rest, field.name, value)
    return picture, rest


async def _unless_all_fail(answers: AsyncGenerator[_Answered, None]) -> AsyncGenerator[_Answered, None]:
    """The answers as they come; raises the first error where no part succeeds."""
    failed: list[_Answered] = []
    succeeded = False
    async with aclosing(answers):
        async for answered in answers:
            if answered.error is not None and not succeeded:
                # Held back: if every part fails, the call fails.
                failed.append(answered)
                continue
            # A part that is not final may still fail.
            succeeded = succeeded or answered.final
            for part in (answered, *failed) if succeeded else (answered,):
                yield part
            if succeeded:
                failed.clear()
    if failed and failed[0].error is not None:
        raise failed[0].error
