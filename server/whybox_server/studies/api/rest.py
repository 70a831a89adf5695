"""The routes of studies, and what the OpenAPI document says of them."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from whybox import v1
from whybox_server.rest.bodies.reading import read_object
from whybox_server.rest.json_schema import reference
from whybox_server.rest.middleware import ApiRoute
from whybox_server.rest.openapi import REQUEST_ID, STRING, Described, query, responses
from whybox_server.rest.responses import message_response, unless_disconnected
from whybox_server.rest.values import read_values
from whybox_server.studies.api.core import INVITATION_OPTIONS, StudyApi, invitation
from whybox_server.validation.request import TIMEOUT

_LIST = "/v1/studies"
_ONE = f"{_LIST}/{{study}}"
_RESULTS = f"{_ONE}/results"
_INVITATIONS = f"{_ONE}/invitations"
# A body has two numbers.
_MAX_BODY_BYTES = 2**16
# What stands in an answer is for the holder of the key alone: links let people in.
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def routes(api: StudyApi, *, default_timeout: float, max_timeout: float) -> Sequence[BaseRoute]:
    """The routes.

    Args:
        api: What answers.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed.
    """

    async def list_studies(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        return _private(message_response(await api.list_studies()))

    async def get_study(request: Request) -> Response:
        read_values((), request.query_params.multi_items())
        return _private(message_response(await api.get_study(request.path_params["study"])))

    async def get_results(request: Request) -> Response:
        given = read_values((TIMEOUT,), request.query_params.multi_items())
        timeout = min(given.get(TIMEOUT.name, default_timeout), max_timeout)
        work = api.get_results(request.path_params["study"], timeout)
        results = await unless_disconnected(request.receive, work)
        return _private(Response(results.json, media_type="application/json"))

    async def invite(request: Request) -> Response:
        fields = await read_object(request, _MAX_BODY_BYTES)
        body = [(name, value) for name, value in fields.items() if value is not None]
        given = read_values(INVITATION_OPTIONS, request.query_params.multi_items(), body)
        answer = await api.invite(invitation(request.path_params["study"], given))
        return _private(message_response(answer))

    # An id with a slash is an unknown study, as over gRPC.
    one = _ONE.replace("{study}", "{study:path}")
    return (
        ApiRoute(_LIST, list_studies),
        ApiRoute(f"{one}/results", get_results),
        ApiRoute(f"{one}/invitations", invite, methods=["POST"]),
        ApiRoute(one, get_study),
    )


def described() -> Described:
    """What the document says of the routes."""
    results = {
        "type": "object",
        "description": "`results.json` as `whybox-server study results` writes it.",
        "required": ["layout", "study", "digest", "estimand", "cells", "contrasts"],
        "properties": {
            "layout": {"type": "integer", "description": "Number of the form of the file."},
            "study": STRING,
            "digest": STRING | {"description": "SHA-256 of the protocol."},
            "estimand": STRING | {"description": "What every estimate is of."},
            "cells": {"type": "array", "items": {"type": "object"}},
            "contrasts": {"type": "array", "items": {"type": "object"}},
        },
    }
    body = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            option.name: {**option.kind.schema, "description": option.description} for option in INVITATION_OPTIONS
        },
    }
    kinds = (v1.ListStudiesResponse, v1.StudyStatus, v1.InviteAnnotatorsResponse)
    listed, status, invited = (reference(kind.DESCRIPTOR) for kind in kinds)
    return Described(
        paths={
            _LIST: {"get": _operation("list_studies", "The studies, the one that opened last first", listed, (400,))},
            _ONE: {"get": _operation("get_study", "How far a study is", status, (400, 404), [_STUDY])},
            _RESULTS: {
                "get": _operation(
                    "get_study_results",
                    "The results of a study: the standard and the rectified error",
                    results,
                    (400, 404, 409, 504),
                    [_STUDY, query(TIMEOUT)],
                )
            },
            _INVITATIONS: {
                "post": _operation(
                    "invite_annotators",
                    "Invite people to a study: a link for each",
                    invited,
                    (400, 404, 408, 409, 413, 415),
                    [_STUDY, *(query(option) for option in INVITATION_OPTIONS)],
                )
                | {"requestBody": {"content": {"application/json": {"schema": body}}}}
            },
        },
        answers=tuple(kind.DESCRIPTOR for kind in kinds),
    )


_STUDY = {"name": "study", "in": "path", "required": True, "description": "Its id.", "schema": STRING}


def _operation(
    name: str,
    summary: str,
    schema: dict[str, Any],
    statuses: tuple[int, ...],
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["studies"],
        "parameters": [*parameters, REQUEST_ID],
        "responses": responses({"application/json": {"schema": schema}}, (*statuses, 500, 503)),
    }


def _private(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response
