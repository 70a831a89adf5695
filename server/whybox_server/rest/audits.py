"""The audits of a model: their list, and each as JSON for programs or as a page for people."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whybox import v1
from whybox.v1.errors import as_whybox_error
from whybox.v1.vocabulary import AUDIT_FORMATS
from whybox_server.gateway.core import Gateway
from whybox_server.rest.accept import JSON, accepts, preferred
from whybox_server.rest.problems import NotAcceptableError
from whybox_server.rest.responses import message_response, unless_disconnected
from whybox_server.rest.values import read_values
from whybox_server.validation.audits import FORMAT
from whybox_server.validation.request import VERSION

HTML = AUDIT_FORMATS["html"]
OPTIONS = (VERSION, FORMAT)
"""What the query of an audit takes."""

_FORMATS = {media_type: name for name, media_type in AUDIT_FORMATS.items()}
# The page has styles and pictures inside of it and asks for nothing; it runs nothing, and no other page may frame it.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "sandbox",
    )
)
_HEADERS = {
    # The page may show pictures of people: it stays with the caller, who asks each time whether it has changed.
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE_HEADERS = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY}


async def list_audits(gateway: Gateway, request: Request) -> Response:
    """The audits of the model in the path.

    Raises:
        WhyboxError: There is no such model or version, or an option is wrong.
    """
    name = request.state.call.model = request.path_params["model"]
    given = read_values((VERSION,), request.query_params.multi_items())
    return message_response(v1.ListAuditsResponse(audits=gateway.list_audits(name, given.get("version", ""))))


async def get_audit(gateway: Gateway, request: Request, seconds: float) -> Response:
    """The audit in the path, in the format that the query or Accept names.

    Args:
        gateway: What answers.
        request: GET or HEAD.
        seconds: Within which the caller must have taken all of it.

    Raises:
        WhyboxError: There is no such model, version or audit, an option is wrong, or Accept takes neither format.
    """
    name = request.state.call.model = request.path_params["model"]
    given = read_values(OPTIONS, request.query_params.multi_items())
    # Before Accept: a caller who asks for what is not there learns that.
    asked = v1.GetAuditRequest(model=name, version=given.get("version", ""), audit=request.path_params["audit"])
    gateway.get_audit(asked)
    asked.format = given.get("format") or _negotiated(request.headers.getlist("accept"))
    file = gateway.get_audit(asked)
    media_type = AUDIT_FORMATS[asked.format]
    etag = f'"{file.sha256}"'
    headers = _HEADERS | {"ETag": etag} | (_PAGE_HEADERS if media_type == HTML else {})
    if _is_known(etag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(file.size)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    return _FileResponse(gateway.read_audit(asked, file, seconds), request, headers, media_type)


def _negotiated(accept: list[str]) -> str:
    """The format that a caller prefers.

    Raises:
        NotAcceptableError: The caller takes neither.
    """
    for media_type in (preferred(accept, [HTML]), JSON, HTML):
        if accepts(accept, media_type):
            return _FORMATS[media_type]
    raise NotAcceptableError(
        f"an audit is sent as {' or '.join(_FORMATS)}, and Accept takes neither; accept one of them, or name it in the"
        f" query ({FORMAT.name}={' or '.join(_FORMATS.values())})"
    )


def _is_known(etag: str, known: list[str]) -> bool:
    """Whether the caller has the file already (If-None-Match, RFC 9110)."""
    tags = {tag.strip().removeprefix("W/") for value in known for tag in value.split(",")}
    return bool(tags & {etag, "*"})


class _FileResponse(Response):
    """A file, each piece sent when it is read.

    The answer begins with the first piece, so that an error before it is still a problem of its own; an error after it
    cuts the connection before the promised length.
    """

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], request: Request, headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._pieces = pieces
        self._request = request
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI)
        """Sends the file until it, or the caller's patience, ends."""
        try:
            await unless_disconnected(receive, self._send_pieces(send))
        except Exception as exc:
            if not self._started:
                raise
            state = self._request.state
            state.call.code = as_whybox_error(exc, state.request_id).code_name

    async def _send_pieces(self, send: Send) -> None:
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                if not self._started:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    self._started = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
