"""The routes under /v1/operations."""

import math
from collections.abc import Sequence

from google.protobuf.empty_pb2 import Empty
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from whybox import v1
from whybox_server.operations.core import MAX_PAGE, Operations
from whybox_server.rest.middleware import ApiRoute
from whybox_server.rest.responses import message_response, unless_disconnected
from whybox_server.rest.values import read_values
from whybox_server.validation.kinds import TEXT, integer
from whybox_server.validation.options import Option
from whybox_server.validation.request import TIMEOUT

LIST = "/v1/operations"
ONE = f"{LIST}/{{operation}}"
WAIT = f"{ONE}:wait"
CANCEL = f"{ONE}:cancel"
LIST_OPTIONS: tuple[Option[v1.Model], ...] = (
    Option("page_size", integer(1, MAX_PAGE), f"Operations in the answer, at most. Default: {MAX_PAGE}."),
    Option("page_token", TEXT, "`next_page_token` of the page before. Default: the first page."),
)


def routes(operations: Operations, *, default_timeout: float, max_timeout: float) -> Sequence[BaseRoute]:
    """The routes.

    Args:
        operations: What answers.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed.
    """

    async def listed(request: Request) -> Response:
        given = read_values(LIST_OPTIONS, request.query_params.multi_items())
        answer = await operations.listed(request.state.caller, given.get("page_size", 0), given.get("page_token", ""))
        return message_response(answer)

    async def one(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        caller = request.state.caller
        if request.method == "DELETE":
            await operations.delete(_name(request), caller)
            return message_response(Empty())
        return message_response(await operations.get(_name(request), caller, math.inf))

    async def wait(request: Request) -> Response:
        given = read_values((TIMEOUT,), request.query_params.multi_items())
        seconds = min(given.get(TIMEOUT.name, default_timeout), max_timeout)
        work = operations.wait(_name(request), request.state.caller, seconds, math.inf)
        return message_response(await unless_disconnected(request.receive, work))

    async def cancel(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        await operations.cancel(_name(request), request.state.caller)
        return message_response(Empty())

    # A segment without a colon: what follows one is an action.
    one_path, wait_path, cancel_path = (
        path.replace("{operation}", "{operation:model_name}") for path in (ONE, WAIT, CANCEL)
    )
    return (
        ApiRoute(LIST, listed),
        ApiRoute(wait_path, wait, methods=["POST"]),
        ApiRoute(cancel_path, cancel, methods=["POST"]),
        ApiRoute(one_path, one, methods=["GET", "DELETE"]),
    )


def _name(request: Request) -> str:
    return f"operations/{request.path_params['operation']}"
