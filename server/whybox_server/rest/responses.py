"""Answers in JSON, whole or part by part; they stop the work when the caller hangs up."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whybox.v1.errors import CancelledError, as_whybox_error
from whybox_server.rest.problems import problem

NDJSON = "application/x-ndjson"

T = TypeVar("T")


def render(message: Message) -> bytes:
    """A message in the JSON form of the REST surface: proto field names, defaults spelled out."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return _dump(fields)


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def message_response(message: Message) -> Response:
    """A message as the whole answer."""
    return Response(render(message), media_type="application/json")


async def unless_disconnected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, and cancels it when the caller hangs up: the framework would let it run to its end.

    Args:
        receive: The request's channel, its body read to the end.
        work: What to await. It has ended, one way or the other, when this returns.

    Raises:
        CancelledError: The caller hung up first.
    """
    answer = asyncio.create_task(work)
    hangup = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((answer, hangup), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return await answer
        raise CancelledError("the caller went away before the answer was ready")
    finally:
        answer.cancel()
        hangup.cancel()
        await asyncio.gather(answer, hangup, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class PartsResponse(Response):
    """One message per line, each sent as soon as it is there.

    The answer begins with the first message, so that an error before it is still a problem of its own; an error after
    it becomes the last line. All messages are drawn in one task, as timeouts and task groups inside of `parts` need.
    """

    media_type = NDJSON

    def __init__(self, parts: AsyncGenerator[Message, None], request: Request) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._parts = parts
        self._request = request
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI)
        """Sends the messages until they, or the caller's patience, end."""
        try:
            await unless_disconnected(receive, self._send_parts(send))
        except Exception as exc:
            if not self._started:
                raise
            state = self._request.state
            error = as_whybox_error(exc, state.request_id)
            state.call.code = error.code_name
            await self._send_line(send, _dump({"error": problem(error, state.request_id)}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_parts(self, send: Send) -> None:
        async with aclosing(self._parts):
            async for part in self._parts:
                if not self._started:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    self._started = True
                await self._send_line(send, render(part))

    async def _send_line(self, send: Send, line: bytes) -> None:
        await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
