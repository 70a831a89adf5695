"""Answers in JSON are compressed for callers who accept it; pictures are compressed already.

An attacker who sees sizes learns nothing (BREACH): no answer holds a secret beside text that others choose.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whybox_server.rest.accept import accepts

LEAST_BYTES = 1024
"""A smaller answer is sent as it is: it fits into one packet anyway."""

_NAME = "gzip"
# Beyond it gzip takes twice the time for a hundredth of the size.
_LEVEL = 6
# All that is no JSON, and lines of JSON, which shall not wait for each other.
_LEFT = ("application/octet-stream", "application/x-ndjson", "font/*", "image/*", "text/*")


class CompressionMiddleware:
    """Compresses answers with gzip; large ones beside the event loop.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(app, LEAST_BYTES, _LEVEL, exclude_content_types=_LEFT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the application answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                etag = headers.get("etag", "")
                # A strong tag stands for the same bytes, which these no longer are.
                if headers.get("content-encoding") == _NAME and etag.startswith('"'):
                    headers["ETag"] = f"W/{etag}"
            await send(message)

        await self._app(_understood(scope), receive, send_tagged)


def _understood(scope: Scope) -> Scope:
    """The request, which names gzip only if its caller takes it: "gzip;q=0" refuses it."""
    headers = Headers(scope=scope)
    values = headers.getlist("accept-encoding")
    if not values or accepts(values, _NAME):
        return scope
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
    return {**scope, "headers": others}
