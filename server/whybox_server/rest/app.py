"""The REST application: routes, and nothing that a route would not need."""

import json
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from whybox import v1
from whybox_server.gateway.core import Gateway
from whybox_server.monitoring.metrics import Metrics
from whybox_server.monitoring.readiness import is_ready
from whybox_server.rest import docs
from whybox_server.rest.given import read_options
from whybox_server.rest.middleware import CallMiddleware, routing_problem
from whybox_server.rest.openapi import document
from whybox_server.rest.options import ACTIONS, OPTIONS
from whybox_server.rest.png import DRAWN, PNG, ask_for_picture, picture_response
from whybox_server.rest.requests import read_request
from whybox_server.rest.responses import (
    NDJSON,
    STREAMED,
    PartsResponse,
    accepted,
    message_response,
    unless_disconnected,
)

Handler = Callable[[Request], Awaitable[Response]]


class _ModelName(StringConvertor):
    """A path segment without a colon: what follows one is an action, not a part of a model's name."""

    regex = "[^/:]+"


register_url_convertor("model_name", _ModelName())


def create_app(
    gateway: Gateway, metrics: Metrics, *, max_image_bytes: int, default_timeout: float, max_timeout: float
) -> FastAPI:
    """The application.

    Args:
        gateway: What answers.
        metrics: Where calls are counted, and what `/metrics` shows.
        max_image_bytes: Largest encoded picture that is read; a larger one is refused with 413.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed, whatever it names.
    """
    app = FastAPI(title="Whybox", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(CallMiddleware, metrics=metrics)
    app.add_exception_handler(HTTPException, routing_problem)
    description = json.dumps(document(max_image_bytes=max_image_bytes, max_timeout=max_timeout)).encode()

    def analysis(action: str) -> Handler:
        async def handle(request: Request) -> Response:
            state = request.state
            state.call.model = request.path_params["model"]
            message, asked = await read_request(request, action, max_image_bytes)
            timeout = min(asked or default_timeout, max_timeout)
            if action in STREAMED and NDJSON in accepted(request):
                parts = gateway.stream(message, request_id=state.request_id, timeout=timeout)
                return PartsResponse(parts, request)
            as_png = action in DRAWN and PNG in accepted(request)
            if as_png:
                ask_for_picture(message)
            work = gateway.analyze(message, request_id=state.request_id, timeout=timeout)
            answer = await unless_disconnected(request.receive, work)
            return picture_response(answer) if as_png else message_response(answer)

        return handle

    for action in ACTIONS:
        app.add_api_route(f"/v1/models/{{model:model_name}}:{action}", analysis(action), methods=["POST"], name=action)

    @app.get("/v1/models")
    async def list_models(request: Request) -> Response:
        read_options((), request.query_params.multi_items())
        return message_response(v1.ListModelsResponse(models=gateway.list_models()))

    @app.get("/v1/models/{model:model_name}")
    async def get_model(request: Request) -> Response:
        name = request.state.call.model = request.path_params["model"]
        options = read_options((OPTIONS["version"],), request.query_params.multi_items())
        return message_response(gateway.get_model(name, options.get("version", "")))

    # Load balancers ask with either method.
    @app.api_route("/healthz", methods=["GET", "HEAD"])
    async def alive() -> Response:
        return JSONResponse({"status": "alive"})

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def ready() -> Response:
        pools = gateway.readiness()
        answering = is_ready(pools)
        return JSONResponse({"ready": answering, "models": pools}, status_code=200 if answering else 503)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        content, media_type = metrics.render()
        return Response(content, headers={"Content-Type": media_type})

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return Response(description, media_type="application/json")

    app.add_route("/docs", docs.page)
    app.add_route("/docs/start.js", docs.start_script)
    app.mount("/docs/assets", docs.assets())
    return app
