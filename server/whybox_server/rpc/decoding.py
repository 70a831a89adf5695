"""Messages that cannot be read, come too slowly, or with too much metadata: refused before a service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from whybox.v1.errors import InvalidRequestError, PictureTooLargeError, WhyboxError
from whybox_server.gateway.queueing.bodies import Bodies
from whybox_server.rpc.options import MAX_METADATA_BYTES

Context = grpc.aio.ServicerContext[Any, Any]
Answering = Callable[[str, str, Context], AbstractAsyncContextManager[str]]
"""Around the answer to a call, by method and model: counts it, and makes a status of its error."""

# As gRPC counts the size of an entry: HTTP/2 adds this to the lengths of key and value.
_ENTRY_BYTES = 32


@dataclass(frozen=True)
class _Unreadable:
    """Stands for a message that was not decoded."""

    error: WhyboxError


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls through whose message and metadata can be read.

    Args:
        answering: Around the answer to a call that is refused.
        max_message_bytes: Largest message that is decoded.
        bodies: Have room for the messages of calls with one.
        upload_seconds: Seconds that each message has to come, from the start of the call or from the message before.
    """

    def __init__(self, answering: Answering, max_message_bytes: int, bodies: Bodies, upload_seconds: float) -> None:
        self._answering = answering
        self._bodies = bodies
        self._max_message_bytes = max_message_bytes
        self._upload_seconds = upload_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See `grpc.aio.ServerInterceptor`."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method).rpartition("/")[2]
        # All as streams of requests: gRPC itself waits for the one message of a call without an end.
        kinds: dict[tuple[bool, bool], Any] = {
            (False, False): (grpc.stream_unary_rpc_method_handler, self._unary, handler.unary_unary),
            (False, True): (grpc.stream_stream_rpc_method_handler, self._stream, handler.unary_stream),
            (True, True): (grpc.stream_stream_rpc_method_handler, self._dialogue, handler.stream_stream),
        }
        make, checked, behaviour = kinds[handler.request_streaming, handler.response_streaming]
        decode = self._decoder(handler.request_deserializer)
        return make(checked(method, behaviour), decode, handler.response_serializer)

    def _decoder(self, deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def decode(sent: bytes) -> Any:
            if len(sent) > self._max_message_bytes:
                message = (
                    f"the message has {len(sent)} bytes, {self._max_message_bytes} at most; send a smaller picture"
                )
                return _Unreadable(PictureTooLargeError(message, field="image"))
            try:
                return deserialize(sent)
            except DecodeError:
                message = "the message cannot be decoded; send the request of this method, with strings in UTF-8"
                return _Unreadable(InvalidRequestError(message, reason="UNREADABLE_MESSAGE"))

        return decode

    def _unary(self, method: str, behaviour: Any) -> Any:
        async def handle(requests: AsyncIterator[Any], context: Context) -> Any:
            with self._bodies.arriving() as arrived:
                try:
                    request = await self._only(requests, context, arrived)
                except WhyboxError as error:
                    async with self._answering(method, "", context):
                        raise error
                return await behaviour(request, context)

        return handle

    def _stream(self, method: str, behaviour: Any) -> Any:
        async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            with self._bodies.arriving() as arrived:
                try:
                    request = await self._only(requests, context, arrived)
                except WhyboxError as error:
                    async with self._answering(method, "", context):
                        raise error
                async with aclosing(behaviour(request, context)) as answers:
                    async for answer in answers:
                        yield answer

        return handle

    def _dialogue(self, method: str, behaviour: Any) -> Any:
        async def handle(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            try:
                async with aclosing(behaviour(self._readable(requests, context), context)) as answers:
                    async for answer in answers:
                        yield answer
            except WhyboxError as error:
                async with self._answering(method, "", context):
                    raise error

        return handle

    async def _only(self, requests: AsyncIterator[Any], context: Context, arrived: Callable[[int], None]) -> Any:
        async for request in self._readable(requests, context):
            arrived(request.ByteSize())
            return request
        raise InvalidRequestError("the call has no message; send the request of this method", reason="NO_MESSAGE")

    async def _readable(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        while True:
            try:
                async with asyncio.timeout(self._upload_seconds):
                    request = await anext(requests)
            except StopAsyncIteration:
                return
            except TimeoutError:
                message = f"the message did not come within {self._upload_seconds:g} s; send all of it"
                raise InvalidRequestError(message, reason="REQUEST_TIMEOUT") from None
            if (error := _fault(request, context)) is not None:
                raise error
            yield request


def _fault(request: Any, context: Context) -> WhyboxError | None:
    if isinstance(request, _Unreadable):
        return request.error
    metadata = context.invocation_metadata() or ()
    size = sum(len(str(key)) + len(value) + _ENTRY_BYTES for key, value in metadata)
    if size > MAX_METADATA_BYTES:
        message = f"the metadata has {size} bytes, {MAX_METADATA_BYTES} at most; send less"
        return InvalidRequestError(message, reason="METADATA_TOO_LARGE")
    return None
