"""The REST application: routes, and nothing that a route would not need."""

import json
import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox.v1.request_ids import HEADER
from whybox_server.access.checking import Access
from whybox_server.access.needs import START_ANALYSIS, of_method, of_parts
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Choice
from whybox_server.gateway.parts import asked_parts
from whybox_server.monitoring.metrics import Metrics
from whybox_server.monitoring.readiness import is_ready
from whybox_server.rest import docs
from whybox_server.rest.accept import preferred
from whybox_server.rest.actions import ACTIONS, Action
from whybox_server.rest.audits import get_audit, list_audits
from whybox_server.rest.bodies.compression import CompressionMiddleware
from whybox_server.rest.bodies.reading import JSON_LENGTH
from whybox_server.rest.middleware import AccessMiddleware, ApiRoute, CallMiddleware, routing_problem
from whybox_server.rest.openapi import Described, document
from whybox_server.rest.png import DRAWN, PNG, ask_for_picture, picture_response
from whybox_server.rest.requests import read_request
from whybox_server.rest.responses import NDJSON, PartsResponse, message_response, unless_disconnected
from whybox_server.rest.values import read_values
from whybox_server.validation.operations import ASYNC, Start, no_operations
from whybox_server.validation.request import TIMEOUT, VERSION

Handler = Callable[[Request], Awaitable[Response]]


class _ModelName(StringConvertor):
    """A path segment without a colon: what follows one is an action, not a part of a model's name."""

    regex = "[^/:]+"


register_url_convertor("model_name", _ModelName())


def create_app(
    gateway: Gateway,
    metrics: Metrics,
    *,
    access: Access,
    max_image_bytes: int,
    default_timeout: float,
    max_timeout: float,
    cors_origins: Sequence[str] = (),
    mounts: Sequence[BaseRoute] = (),
    described: Sequence[Described] = (),
    start: Start = no_operations,
) -> Starlette:
    """The application.

    Args:
        gateway: What answers.
        metrics: Where calls are counted, and what `/metrics` shows.
        access: Who may do what.
        max_image_bytes: Largest encoded picture that is read; a larger one is refused with 413.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed, whatever it names.
        cors_origins: Origins of web pages whose scripts may read answers; "*" stands for every page.
        mounts: Routes of other rooms, and further applications, each under its own prefix; the latter answer their own
            errors. What each needs of its callers stands in `access.needs`.
        described: What the document says of those routes, room by room.
        start: Begins operations.
    """
    description = json.dumps(
        document(access=access, max_image_bytes=max_image_bytes, max_timeout=max_timeout, further=described)
    ).encode()

    async def openapi(_: Request) -> Response:
        return Response(description, media_type="application/json")

    async def show_metrics(_: Request) -> Response:
        content, media_type = metrics.render()
        return Response(content, headers={"Content-Type": media_type})

    def analysis(action: Action) -> BaseRoute:
        handler = _analysis(gateway, action, max_image_bytes, default_timeout, max_timeout, start)
        return ApiRoute(f"/v1/models/{{model:model_name}}:{action.name}", handler, methods=["POST"])

    routes: list[BaseRoute] = [
        *(analysis(action) for action in ACTIONS.values()),
        *_reading(gateway),
        *_audits(gateway, max_timeout),
        *_probes(gateway),
        ApiRoute("/metrics", show_metrics),
        ApiRoute("/openapi.json", openapi),
        ApiRoute("/docs", docs.page),
        ApiRoute("/docs/start.js", docs.start_script),
        Mount("/docs/assets", docs.assets()),
        *mounts,
    ]
    app = Starlette(
        routes=routes,
        # CORS comes first: it asks for no key, and scripts can read errors too.
        middleware=[
            *_cors(cors_origins),
            Middleware(CompressionMiddleware),
            Middleware(CallMiddleware, metrics=metrics, bodies=gateway.bodies),
            Middleware(AccessMiddleware, access=access),
        ],
        exception_handlers={HTTPException: routing_problem},
    )
    app.router.redirect_slashes = False
    return app


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """What lets scripts of other origins call the server; without origins browsers keep them from it."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            # Browsers send an origin without a slash at its end.
            allow_origins=[origin.rstrip("/") for origin in origins],
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "Content-Encoding", "If-None-Match", HEADER, JSON_LENGTH),
            expose_headers=(HEADER, "Retry-After", "ETag", "Location", "WWW-Authenticate", JSON_LENGTH),
        )
    ]


def _analysis(
    gateway: Gateway, action: Action, max_image_bytes: int, default_timeout: float, max_timeout: float, start: Start
) -> Handler:
    async def handle(request: Request) -> Response:
        state = request.state
        name = state.call.model = request.path_params["model"]
        # Before the body is read, so that no picture is uploaded for an answer that needs none.
        with gateway.chosen(name, request.query_params.get(VERSION.name, "")) as choice:
            return await answered(request, choice)

    async def answered(request: Request, choice: Choice) -> Response:
        state = request.state
        message, seconds, is_operation = await read_request(request, action, choice, max_image_bytes)
        state.caller.require(of_parts(asked_parts(message)))
        if is_operation:
            return await _started(request, message, seconds, start)
        timeout = min(seconds or default_timeout, max_timeout)
        kind = preferred(request.headers.getlist("accept"), _kinds(action))
        if kind == NDJSON:
            parts = gateway.stream(
                message, request_id=state.request_id, timeout=timeout, caller=state.caller, choice=choice
            )
            return PartsResponse(parts, request)
        if kind == PNG:
            version = message.version or choice.model.version
            ask_for_picture(message, choice.deployment.model(choice.model.name, version))
        work = gateway.analyze(
            message, request_id=state.request_id, timeout=timeout, caller=state.caller, choice=choice
        )
        answer = await unless_disconnected(request.receive, work)
        answered = time.perf_counter()
        response = picture_response(answer) if kind == PNG else message_response(answer)
        gateway.learn_sending(time.perf_counter() - answered)
        return response

    return handle


async def _started(request: Request, message: v1.AnalyzeRequest, timeout: float | None, start: Start) -> Response:
    """The answer to a request for an operation."""
    caller = request.state.caller
    caller.require(of_method(START_ANALYSIS))
    if timeout is not None:
        text = (
            f"{TIMEOUT.name} cannot be combined with {ASYNC.name}: an operation has the server's own time; leave it out"
        )
        raise InvalidRequestError(text, field=TIMEOUT.name)
    operation = await start(message, request_id=request.state.request_id, caller=caller)
    response = message_response(operation)
    response.status_code = 202
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/{operation.name}"
    return response


def _kinds(action: Action) -> list[str]:
    """The kinds of answers that an action has beside JSON."""
    return [kind for kind, has in ((NDJSON, action.is_streamed), (PNG, action.name in DRAWN)) if has]


def _reading(gateway: Gateway) -> list[BaseRoute]:
    """What is served."""

    async def list_models(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        return message_response(v1.ListModelsResponse(models=gateway.list_models()))

    async def get_model(request: Request) -> Response:
        name = request.state.call.model = request.path_params["model"]
        given = read_values((VERSION,), request.query_params.multi_items())
        return message_response(gateway.get_model(name, given.get("version", "")))

    return [ApiRoute("/v1/models", list_models), ApiRoute("/v1/models/{model:model_name}", get_model)]


def _audits(gateway: Gateway, max_timeout: float) -> list[BaseRoute]:
    """What audits found about a model."""

    async def all_of_a_model(request: Request) -> Response:
        return await list_audits(gateway, request)

    async def one(request: Request) -> Response:
        return await get_audit(gateway, request, max_timeout)

    path = "/v1/models/{model:model_name}/audits"
    # An id with a slash is an unknown audit, as over gRPC.
    return [ApiRoute(path, all_of_a_model), ApiRoute(f"{path}/{{audit:path}}", one)]


def _probes(gateway: Gateway) -> list[BaseRoute]:
    """What load balancers ask, with GET or HEAD."""

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        pools = gateway.readiness()
        answering = is_ready(pools)
        return JSONResponse({"ready": answering, "models": pools}, status_code=200 if answering else 503)

    return [ApiRoute("/healthz", alive), ApiRoute("/readyz", ready)]
