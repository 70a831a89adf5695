"""Answers in JSON are compressed for callers who accept it; pictures are compressed already.

Only whole answers are: the lines of a stream shall not wait for each other, and a file that is sent piece by piece has
a tag and a length of its own. The sizes of compressed answers tell no secret (BREACH), because no answer has a secret
beside text that others choose.
"""

import asyncio
import gzip

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whybox_server.rest.accept import JSON, accepts

LEAST_BYTES = 1024
"""A smaller answer is sent as it is: it fits into one packet anyway."""

_GZIP = "gzip"
# Beyond this level gzip takes twice the time for a hundredth of the size.
_LEVEL = 6
# What takes more than some milliseconds is compressed beside the event loop.
_LARGE_BYTES = 128 * 2**10


class CompressionMiddleware:
    """Compresses answers with gzip.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the application answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # An empty value takes nothing compressed, and who says nothing may be unable to unpack it.
        accepted = [value for value in Headers(scope=scope).getlist("accept-encoding") if value.strip()]
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_json(message):
                # Only its body tells whether it is whole.
                start = message
                return
            if start is not None:
                begun, start = start, None
                body = message.get("body", b"")
                if not message.get("more_body", False) and len(body) >= LEAST_BYTES:
                    headers = MutableHeaders(scope=begun)
                    headers.add_vary_header("Accept-Encoding")
                    if accepted and accepts(accepted, _GZIP):
                        body = await _compressed(body)
                        headers["Content-Encoding"] = _GZIP
                        headers["Content-Length"] = str(len(body))
                        message = {**message, "body": body}
                await send(begun)
            await send(message)

        await self._app(scope, receive, send_compressed)


def _is_json(start: Message) -> bool:
    media_type = Headers(raw=start["headers"]).get("content-type", "").partition(";")[0].strip()
    return media_type == JSON or media_type.endswith("+json")


async def _compressed(body: bytes) -> bytes:
    if len(body) < _LARGE_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
