"""The gRPC transport: `whybox.v1.AnalysisService` over the gateway, and the server that further services join."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import grpc
from google.longrunning.operations_proto_pb2 import Operation
from grpc_health.v1 import health_pb2, health_pb2_grpc

from whybox import v1
from whybox.v1 import analysis_pb2, analysis_pb2_grpc
from whybox.v1.errors import InvalidRequestError
from whybox.v1.vocabulary import RESPONSE_BYTES_KEY
from whybox_server.access.checking import Access, Caller
from whybox_server.access.needs import of_parts
from whybox_server.gateway.audits import PIECE_BYTES
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.parts import asked_parts
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rpc.access import AccessInterceptor, caller_of
from whybox_server.rpc.calls import Calls, Context, Service, max_message_bytes
from whybox_server.rpc.decoding import DecodingInterceptor
from whybox_server.rpc.health import HealthService
from whybox_server.rpc.options import server_options
from whybox_server.rpc.reflection import add_reflection
from whybox_server.validation.operations import Start, no_operations

SERVICE = analysis_pb2.DESCRIPTOR.services_by_name["AnalysisService"].full_name

# Messages with pieces of a file, and what a message has beside its piece.
_LEAST_PIECE_MESSAGE_BYTES = 1024
_AROUND_PIECE_BYTES = 16


class AnalysisService(analysis_pb2_grpc.AnalysisServiceServicer):
    """Hands calls to the gateway. A cancelled call cancels the work: its `CancelledError` is never caught here."""

    def __init__(self, gateway: Gateway, calls: Calls, start: Start) -> None:
        self._gateway = gateway
        self._calls = calls
        self._start = start

    async def Analyze(self, request: v1.AnalyzeRequest, context: Context) -> v1.AnalyzeResponse:  # noqa: N802
        """All parts in one answer."""
        async with self._calls.answering("Analyze", request.model, context) as call_id:
            answer = await self._gateway.analyze(
                request,
                request_id=call_id,
                timeout=self._calls.timeout(context),
                max_message_bytes=max_message_bytes(context),
                caller=_caller_of(request, context),
            )
            self._learn_sending(context)
            return answer

    async def StreamAnalysis(  # noqa: N802
        self, request: v1.AnalyzeRequest, context: Context
    ) -> AsyncIterator[v1.AnalyzeResponse]:
        """The parts one by one as they are ready."""
        async with self._calls.answering("StreamAnalysis", request.model, context) as call_id:
            parts = self._gateway.stream(
                request,
                request_id=call_id,
                timeout=self._calls.timeout(context),
                max_message_bytes=max_message_bytes(context),
                caller=_caller_of(request, context),
            )
            async with aclosing(parts):
                async for part in parts:
                    yield part

    async def StartAnalysis(self, request: v1.AnalyzeRequest, context: Context) -> Operation:  # noqa: N802
        """An analysis that goes on without its caller."""
        async with self._calls.answering("StartAnalysis", request.model, context) as call_id:
            caller = _caller_of(request, context)
            return await self._start(request, request_id=call_id, caller=caller)

    async def ListModels(  # noqa: N802
        self,
        request: v1.ListModelsRequest,  # noqa: ARG002 (it has no fields yet)
        context: Context,
    ) -> v1.ListModelsResponse:
        """The served models without their labels."""
        async with self._calls.answering("ListModels", "", context):
            return v1.ListModelsResponse(models=self._gateway.list_models())

    async def GetModel(self, request: v1.GetModelRequest, context: Context) -> v1.Model:  # noqa: N802
        """One model with its labels."""
        async with self._calls.answering("GetModel", request.model, context):
            return self._gateway.get_model(request.model, request.version)

    async def ListAudits(  # noqa: N802
        self, request: v1.ListAuditsRequest, context: Context
    ) -> v1.ListAuditsResponse:
        """The audits of a model."""
        async with self._calls.answering("ListAudits", request.model, context):
            return v1.ListAuditsResponse(audits=self._gateway.list_audits(request.model, request.version))

    async def GetAudit(  # noqa: N802
        self, request: v1.GetAuditRequest, context: Context
    ) -> AsyncIterator[v1.AuditPiece]:
        """A file of an audit, piece by piece."""
        async with self._calls.answering("GetAudit", request.model, context):
            file = self._gateway.get_audit(request)
            piece_bytes = _piece_bytes(max_message_bytes(context))
            pieces = self._gateway.read_audit(request, file, self._calls.timeout(context), piece_bytes)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield v1.AuditPiece(data=piece)

    def _learn_sending(self, context: Context) -> None:
        answered = time.perf_counter()

        def done(_: Context) -> None:
            self._gateway.learn_sending(time.perf_counter() - answered)

        context.add_done_callback(cast("Any", done))  # its stub names no type that a function has


def _caller_of(request: v1.AnalyzeRequest, context: Context) -> Caller:
    """The caller, who may have every part that the request asks for.

    Raises:
        PermissionDeniedError: The caller may have less.
    """
    caller = caller_of(context)
    caller.require(of_parts(asked_parts(request)))
    return caller


def _piece_bytes(max_message_bytes: int) -> int:
    """The size of the pieces of a file, for a caller who takes messages of at most this size.

    Raises:
        InvalidRequestError: They would be so small that sending them were a waste.
    """
    if max_message_bytes < _LEAST_PIECE_MESSAGE_BYTES:
        message = f"a piece of a file takes a message of at least {_LEAST_PIECE_MESSAGE_BYTES:,} bytes; allow for it"
        raise InvalidRequestError(message, reason="ANSWER_TOO_LARGE", field=RESPONSE_BYTES_KEY)
    return min(PIECE_BYTES, max_message_bytes - _AROUND_PIECE_BYTES)


def create_server(
    gateway: Gateway,
    metrics: Metrics,
    *,
    access: Access,
    max_message_bytes: int,
    default_timeout: float,
    max_timeout: float,
    keep_alive: int = 300,
    upload_seconds: float = 120,
    services: Sequence[Service] = (),
    start: Start = no_operations,
) -> grpc.aio.Server:
    """A server with the analysis, health and reflection services, not yet bound to a port.

    Args:
        gateway: What answers.
        metrics: Where calls are counted.
        access: Who may do what.
        max_message_bytes: Largest request that is accepted; a larger one is refused as a picture that is too large.
        default_timeout: Seconds for a call without a deadline.
        max_timeout: Seconds that no call may exceed, whatever its deadline.
        keep_alive: Seconds that a connection without a call stays open.
        upload_seconds: Seconds from the start of a call to the end of its message; a call that takes longer is ended.
        services: Further services of Whybox; health and reflection tell of them. What their methods need of callers
            stands in `access.needs`.
        start: Begins operations.
    """
    calls = Calls(metrics, default_timeout=default_timeout, max_timeout=max_timeout)
    decoding = DecodingInterceptor(calls.answering, max_message_bytes, gateway.bodies, upload_seconds)
    server = grpc.aio.server(
        interceptors=[AccessInterceptor(access, calls), decoding],
        options=server_options(max_message_bytes, keep_alive),
    )
    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(AnalysisService(gateway, calls, start), server)
    for service in services:
        service.add(server, calls)
    names = (SERVICE, *(service.name for service in services))
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(gateway, frozenset(names)), server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    add_reflection((*names, health_name), server)
    return server
