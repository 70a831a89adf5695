"""The standard health service of gRPC, telling what the gateway tells."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from whybox_server.gateway.core import Gateway
from whybox_server.monitoring.readiness import is_ready, is_stopping

_Response = health_pb2.HealthCheckResponse
_POLL_SECONDS = 1.0

Context = grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers for the server as a whole (the empty name) and for each named service; both have the same state."""

    def __init__(self, gateway: Gateway, services: frozenset[str]) -> None:
        self._gateway = gateway
        self._services = services | {""}

    async def Check(  # noqa: N802 (named by the protocol)
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The state now; NOT_FOUND for a service that is not here."""
        status = self._status(request.service)
        if status == _Response.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r} here")
        return _Response(status=status)

    async def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: Any,  # noqa: ARG002 (part of the protocol's signature)
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state now and after each change, until the caller hangs up or the server stops."""
        told: int | None = None
        while True:
            # Before the state is told: while it is sent, the server may begin to stop, which the caller shall hear too.
            stopping = is_stopping(self._gateway.readiness())
            status = self._status(request.service)
            if status != told:
                yield _Response(status=status)
                told = status
            # A watch has no end of its own, and the server waits for calls in flight.
            if stopping:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _status(self, service: str) -> int:
        if service not in self._services:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if is_ready(self._gateway.readiness()) else _Response.NOT_SERVING
