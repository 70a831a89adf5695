"""The routes under /v2, and what the OpenAPI document says of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from whybox import v1
from whybox.v1.errors import WhyboxError
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Choice
from whybox_server.monitoring.readiness import is_ready
from whybox_server.oip.bodies import read_inference, response
from whybox_server.oip.inference import (
    EXTENSIONS,
    SERVER,
    Metadata,
    infer,
    inputs_of,
    is_model_ready,
    outputs_of,
    server_version,
)
from whybox_server.rest.middleware import ApiRoute
from whybox_server.rest.problems import headers_of, http_status
from whybox_server.rest.responses import unless_disconnected
from whybox_server.rest.values import read_values
from whybox_server.validation.request import TIMEOUT

PATH = "/v2"
MODEL = f"{PATH}/models/{{model}}"
VERSION = f"{MODEL}/versions/{{version}}"
LIVE, READY = f"{PATH}/health/live", f"{PATH}/health/ready"


def error_response(error: WhyboxError, _: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed, in the form of the protocol."""
    status, text = http_status(type(error)), json.dumps({"error": error.message})
    return Response(text, status, headers_of(error, headers), "application/json")


def routes(
    gateway: Gateway, *, max_image_bytes: int, default_timeout: float, max_timeout: float
) -> Sequence[BaseRoute]:
    """The routes.

    Args:
        gateway: What answers.
        max_image_bytes: Largest encoded picture that is read.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed.
    """

    async def server(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        return JSONResponse({"name": SERVER, "version": server_version(), "extensions": EXTENSIONS})

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        return _readiness({"ready": is_ready(gateway.readiness())})

    async def model_ready(request: Request) -> Response:
        model = _model(gateway, request)
        return _readiness({"name": model.name, "ready": is_model_ready(gateway, model.name, model.version)})

    async def metadata(request: Request) -> Response:
        model = _model(gateway, request)
        read_values((), request.query_params.multi_items())
        return JSONResponse(
            {
                "name": model.name,
                "versions": gateway.versions(model.name),
                "platform": SERVER,
                "inputs": [_described(each) for each in inputs_of(model)],
                "outputs": [_described(each) for each in outputs_of()],
            }
        )

    async def inference(request: Request) -> Response:
        # Before the body is read, so that no picture is uploaded for an answer that needs none.
        name, version = _named(request)
        with gateway.chosen(name, version) as choice:
            return await answered(request, choice)

    async def answered(request: Request, choice: Choice) -> Response:
        model = choice.model
        given = read_values((TIMEOUT,), request.query_params.multi_items())
        asked = await read_inference(request, model, max_image_bytes)
        state = request.state
        work = infer(
            gateway,
            choice,
            asked.question,
            request_id=state.request_id,
            timeout=min(given.get(TIMEOUT.name, default_timeout), max_timeout),
            caller=state.caller,
        )
        return response(model, asked, await unless_disconnected(request.receive, work))

    def route(path: str, handler: Any, method: str = "GET") -> BaseRoute:
        path = path.replace("{model}", "{model:model_name}")
        return ApiRoute(path, handler, methods=[method], refusal=error_response)

    return (
        route(PATH, server),
        route(LIVE, live),
        route(READY, ready),
        *(route(of_model, metadata) for of_model in (MODEL, VERSION)),
        *(route(f"{of_model}/ready", model_ready) for of_model in (MODEL, VERSION)),
        *(route(f"{of_model}/infer", inference, "POST") for of_model in (MODEL, VERSION)),
    )


def _model(gateway: Gateway, request: Request) -> v1.Model:
    return gateway.get_model(*_named(request))


def _named(request: Request) -> tuple[str, str]:
    """The model in the path, and its version, empty without one."""
    name: str = request.path_params["model"]
    request.state.call.model = name
    return name, request.path_params.get("version", "")


def _readiness(answer: dict[str, Any]) -> Response:
    return JSONResponse(answer, status_code=200 if answer["ready"] else 503)


def _described(tensor: Metadata) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
