"""What the OpenAPI document says of operations."""

from collections.abc import Sequence
from typing import Any

from whybox_server.operations.rest import CANCEL, LIST, LIST_OPTIONS, ONE, WAIT
from whybox_server.rest.json_schema import Schema
from whybox_server.rest.openapi import OPERATION, REQUEST_ID, STRING, Described, query, responses
from whybox_server.validation.request import TIMEOUT

_ID = {
    "name": "operation",
    "in": "path",
    "required": True,
    "description": "What follows `operations/` in its name.",
    "schema": {"type": "string", "pattern": "^[^/:]+$"},
}
_NOTHING: Schema = {"type": "object", "maxProperties": 0}


def described() -> Described:
    """What the document says of the routes."""
    listed = {
        "type": "object",
        "required": ["operations", "next_page_token", "unreachable"],
        "properties": {
            "operations": {"type": "array", "items": OPERATION},
            "next_page_token": STRING | {"description": "For the next page; empty on the last one."},
            "unreachable": {"type": "array", "items": STRING, "maxItems": 0},
        },
    }
    pages = [query(option) for option in LIST_OPTIONS]
    return Described(
        paths={
            LIST: {
                "get": _call(
                    "list_operations", "Your operations without their results, the oldest first", listed, (400,), pages
                )
            },
            ONE: {
                "get": _call("get_operation", "How far an operation is, with its result", OPERATION, (400, 404), [_ID]),
                "delete": _call(
                    "delete_operation", "End an operation, and forget it with its result", _NOTHING, (400, 404), [_ID]
                ),
            },
            WAIT: {
                "post": _call(
                    "wait_operation",
                    "How far an operation is, once it has ended or `timeout` has passed",
                    OPERATION,
                    (400, 404),
                    [_ID, query(TIMEOUT)],
                )
            },
            CANCEL: {"post": _call("cancel_operation", "End an operation", _NOTHING, (400, 404), [_ID])},
        },
    )


def _call(
    name: str, summary: str, schema: Schema, statuses: Sequence[int], parameters: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["operations"],
        "parameters": [*parameters, REQUEST_ID],
        "responses": responses({"application/json": {"schema": schema}}, (*statuses, 500, 503)),
    }
