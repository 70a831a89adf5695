"""What surrounds every request: its id, its metrics, and the place where its errors become an answer."""

from contextlib import AbstractContextManager, nullcontext

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whybox.v1.errors import WhyboxError, as_whybox_error
from whybox.v1.request_ids import HEADER, usable_or_new
from whybox_server.monitoring.metrics import UNKNOWN, Call, Metrics
from whybox_server.rest.problems import MethodNotAllowedError, UnknownPathError, problem_response


class ApiRoute(Route):
    """Tells the middleware which route a request took: its template is a label of metrics."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `BaseRoute`."""
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}


class CallMiddleware:
    """Outermost layer of the application.

    Handlers find the request's id in `request.state.request_id` and what is counted of it in `request.state.call`, and
    raise what goes wrong.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the application answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        call_id = usable_or_new(headers.get(HEADER))
        started = False
        # Such a caller sends its body only when it is asked to, by the first `receive`.
        holds_back = headers.get("expect", "").lower() == "100-continue"

        async def receive_body() -> Message:
            nonlocal holds_back
            holds_back = False
            return await receive()

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                sent = MutableHeaders(scope=message)
                sent[HEADER] = call_id
                if holds_back:
                    # The body never comes: the next request would be taken for it.
                    sent["Connection"] = "close"
            await send(message)

        with self._count(scope["path"].removeprefix(scope.get("root_path", ""))) as call:
            scope.setdefault("state", {}).update(request_id=call_id, call=call)
            try:
                await self._app(scope, receive_body, send_with_id)
            except Exception as exc:
                if started:
                    raise
                error = as_whybox_error(exc, call_id)
                call.code = error.code_name
                await problem_response(error, call_id)(scope, receive, send_with_id)
            finally:
                call.route = getattr(scope.get("route"), "path_format", UNKNOWN)

    def _count(self, path: str) -> AbstractContextManager[Call]:
        # Only the API is counted: probes and scrapes would drown its calls, and count themselves as in flight.
        return self._metrics.request("rest") if path.startswith("/v1/") else nullcontext(Call())


async def routing_problem(request: Request, exc: Exception) -> Response:
    """Answers what the router refuses: a path that is not there, or a method that it does not take.

    Raises:
        HTTPException: The framework refused for another reason, which is then unexpected.
    """
    error: WhyboxError
    match exc:
        case HTTPException(status_code=404):
            error = UnknownPathError(f"there is nothing at {request.url.path}; /docs lists what there is")
        case HTTPException(status_code=405):
            error = MethodNotAllowedError(
                f"{request.url.path} does not take {request.method}; /docs lists what it takes"
            )
        case _:
            raise exc
    request.state.call.code = error.code_name
    return problem_response(error, request.state.request_id, exc.headers)
