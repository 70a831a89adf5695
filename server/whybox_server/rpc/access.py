"""Keys over gRPC: checked for every call, before its message is read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import grpc

from whybox.v1.errors import WhyboxError
from whybox_server.access.checking import Access, Caller
from whybox_server.access.needs import METHODS, Door, of_method
from whybox_server.monitoring.metrics import UNKNOWN
from whybox_server.rpc.calls import Calls, Context

_CALLER: ContextVar[Caller] = ContextVar("caller")
_AUTHORIZATION = "authorization"


def caller_of(context: Context) -> Caller:
    """Who makes the call that is being answered."""
    # "ipv4:127.0.0.1:1234": each connection has another port.
    return replace(_CALLER.get(), address=str(context.peer()).rpartition(":")[0])


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls through whose key allows them; services ask `caller_of` who calls.

    Args:
        access: Who may do what.
        calls: What counts the calls that are refused.
    """

    def __init__(self, access: Access, calls: Calls) -> None:
        self._access = access
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        method = str(handler_call_details.method)
        sent = dict(handler_call_details.invocation_metadata or ()).get(_AUTHORIZATION)
        handler = await continuation(handler_call_details)
        try:
            # Without a handler the call ends in UNIMPLEMENTED, which is told to callers with a key: also of a service
            # that is not here because the server has no database.
            need = Door.ANY_KEY if handler is None else of_method(method)
            _CALLER.set(self._access.admit(sent.decode(errors="replace") if isinstance(sent, bytes) else sent, need))
        except WhyboxError as error:
            return self._refusal(method.rpartition("/")[2] if method in METHODS else UNKNOWN, error)
        return handler

    def _refusal(self, method: str, error: WhyboxError) -> Any:
        async def refuse(_: AsyncIterator[Any], context: Context) -> None:
            async with self._calls.answering(method, "", context):
                raise error

        # Of a stream nothing is read before it is asked for, so no picture is read in vain.
        return grpc.stream_stream_rpc_method_handler(refuse)
