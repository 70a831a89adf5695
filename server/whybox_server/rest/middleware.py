"""What surrounds every request: its id, its metrics, its key, and the place where its errors become an answer."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whybox.v1.errors import UnauthenticatedError, WhyboxError, as_whybox_error
from whybox.v1.request_ids import HEADER, usable_or_new
from whybox_server.access.checking import Access
from whybox_server.access.needs import Door, of_route
from whybox_server.gateway.queueing.bodies import Bodies
from whybox_server.monitoring.metrics import UNKNOWN, Call, Metrics
from whybox_server.rest.accept import preferred
from whybox_server.rest.problems import MethodNotAllowedError, UnknownPathError, problem_response

_HTML = "text/html"
# A browser asks people for a name, which is ignored, and for a password, the key. Chromium asks for nothing if another
# challenge stands before this one.
_BASIC = 'Basic realm="whybox", charset="UTF-8"'
_READING = ("GET", "HEAD")

Refusal = Callable[[WhyboxError, str, Mapping[str, str] | None], Response]
"""The answer to a request that failed: its error, its id, and further headers."""


class ApiRoute(Route):
    """Tells the middleware which route a request took: its template is a label of metrics.

    Args:
        path: As of `Route`.
        endpoint: As of `Route`.
        methods: As of `Route`.
        refusal: How its errors are told.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response] | Response],
        *,
        methods: Sequence[str] = ("GET",),
        refusal: Refusal = problem_response,
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.refusal = refusal

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `BaseRoute`."""
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}


class CallMiddleware:
    """Outermost layer of the application.

    Handlers find the request's id in `request.state.request_id` and what is counted of it in `request.state.call`, and
    raise what goes wrong.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, bodies: Bodies) -> None:
        self._app = app
        self._metrics = metrics
        self._bodies = bodies

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
            message = await receive()
            arrived(len(message.get("body", b"")))
            return message

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

        path = scope["path"].removeprefix(scope.get("root_path", ""))
        with self._bodies.arriving() as arrived, self._count(path) as call:
            scope.setdefault("state", {}).update(request_id=call_id, call=call)
            try:
                await self._app(scope, receive_body, send_with_id)
            except Exception as exc:
                if started:
                    raise
                error = as_whybox_error(exc, call_id)
                call.code = error.code_name
                await _refused(scope, error)(scope, receive, send_with_id)
            finally:
                call.route = getattr(scope.get("route"), "path_format", UNKNOWN)

    def _count(self, path: str) -> AbstractContextManager[Call]:
        # Only the API is counted: probes and scrapes would drown its calls, and count themselves as in flight.
        counted = path.startswith("/v1/") or (path.startswith("/v2/models/") and not path.endswith("/ready"))
        return self._metrics.request("rest") if counted else nullcontext(Call())


class AccessMiddleware:
    """Lets requests through whose key allows them; handlers find who calls in `request.state.caller`.

    Reading takes the key as the password of "Basic" too, which browsers can send. Nothing else does: browsers add it to
    what the pages of others make them send.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the application answer one request, or refuses it.

        Raises:
            WhyboxError: The request is refused.
        """
        if scope["type"] == "http":
            route = _taken(scope["app"].routes, scope)
            # Its template is a label of metrics, also if the request is refused.
            scope["route"] = route
            need = Door.ANY_KEY if route is None else of_route(getattr(route, "path_format", ""))
            headers = Headers(scope=scope)
            reads = scope["method"] in _READING
            try:
                caller = self._access.admit(headers.get("authorization"), need, basic=reads)
                scope["state"]["caller"] = replace(caller, address=(scope.get("client") or [""])[0])
            except UnauthenticatedError as error:
                if not reads or preferred(headers.getlist("accept"), [_HTML]) != _HTML:
                    raise
                scope["state"]["call"].code = error.code_name
                await _refused(scope, error, {"WWW-Authenticate": _BASIC})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _taken(routes: Iterable[BaseRoute], scope: Scope) -> BaseRoute | None:
    """The route that the router will take: the first that matches, or the first that does but for its method."""
    partial = None
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return route
        if match is Match.PARTIAL and partial is None:
            partial = route
    return partial


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
    return _refused(request.scope, error, exc.headers)


def _refused(scope: Scope, error: WhyboxError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed, in the words of the route that it took."""
    refusal: Refusal = getattr(scope.get("route"), "refusal", problem_response)
    return refusal(error, scope["state"]["request_id"], headers)
