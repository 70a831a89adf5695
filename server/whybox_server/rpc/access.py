"""Keys over gRPC: checked for every call, before its message is read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from whybox.v1.errors import WhyboxError
from whybox_server.access.checking import Access, Caller
from whybox_server.access.needs import METHODS, Door, of_method
from whybox_server.monitoring.metrics import UNKNOWN
from whybox_server.rpc.calls import Calls, Context

CALLER: ContextVar[Caller] = ContextVar("caller")
"""Who makes the call that is being answered."""

_AUTHORIZATION = "authorization"


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls through whose key allows them; services find who calls in `CALLER`.

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
            # Without a handler the call ends in UNIMPLEMENTED, which is told to callers with a key.
            need = Door.ANY_KEY if handler is None and method not in METHODS else of_method(method)
            CALLER.set(self._access.admit(sent.decode(errors="replace") if isinstance(sent, bytes) else sent, need))
        except WhyboxError as error:
            return self._refusal(method.rpartition("/")[2] if method in METHODS else UNKNOWN, error)
        return handler

    def _refusal(self, method: str, error: WhyboxError) -> Any:
        async def refuse(_: AsyncIterator[Any], context: Context) -> None:
            async with self._calls.answering(method, "", context):
                raise error

        # Of a stream nothing is read before it is asked for, so no picture is read in vain.
        return grpc.stream_stream_rpc_method_handler(refuse)
