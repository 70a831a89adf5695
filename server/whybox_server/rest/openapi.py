"""The OpenAPI document: messages from their descriptors, options from the table that reads them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.rpc.status_pb2 import Status

from whybox import v1
from whybox.v1.errors import UnavailableError
from whybox.v1.request_ids import PATTERN
from whybox_server.access.checking import Access
from whybox_server.access.keys import Scope
from whybox_server.access.needs import of_route
from whybox_server.rest import problems
from whybox_server.rest.actions import ACTIONS, Action
from whybox_server.rest.audits import HTML
from whybox_server.rest.audits import OPTIONS as AUDIT_OPTIONS
from whybox_server.rest.bodies.schemas import FILE, body_schemas
from whybox_server.rest.json_schema import Schema, answer_schemas, reference, request_schemas
from whybox_server.rest.png import DRAWN, PNG
from whybox_server.rest.responses import NDJSON
from whybox_server.validation.operations import ASYNC
from whybox_server.validation.options import Option
from whybox_server.validation.request import VERSION

_SPELLINGS = (
    "In JSON, an option that is null is left out, 3.0 is an integer, and white space in base64 is skipped. In a query "
    "or a form, a boolean is true or false in upper or lower case, and an integer has digits alone or a fraction of "
    "zeros."
)
STRING = {"type": "string"}
_PROBLEM: Schema = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code", "reason", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:whybox:error:bad-picture"]},
        "title": STRING,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do about it, for people."},
        "code": {"type": "string", "description": "Canonical gRPC code.", "examples": ["INVALID_ARGUMENT"]},
        "reason": {"type": "string", "description": "For programs; stable.", "examples": ["BAD_PICTURE"]},
        "request_id": STRING,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": STRING, "detail": STRING},
            },
        },
        "missing": {
            "type": "array",
            "items": STRING,
            "description": "Parts that a stream still owed when it ended in this error, such as `explanations[0]`.",
        },
        "retry_after": {"type": "number", "description": "Seconds after which the same request may succeed."},
    },
}
MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:]+$"}}
_AUDIT = {"name": "audit", "in": "path", "required": True, "description": "Its id.", "schema": STRING}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETags of what the caller has already; 304 answers if it has not changed.",
    "schema": STRING,
}
CONTENT_ENCODING = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed. The limits of size hold for what it unpacks to.",
    "schema": {"type": "string", "enum": [*problems.ENCODINGS]},
}
REQUEST_ID = {"$ref": "#/components/parameters/RequestId"}
"""The parameter that every call takes; `MODEL` and `CONTENT_ENCODING` are those of calls about a model, with a body."""
OPERATION: Schema = {
    "type": "object",
    "title": "Operation",
    "description": "google.longrunning.Operation; one that is done has `response` or `error`.",
    "required": ["name", "metadata", "done"],
    "properties": {
        "name": {"type": "string", "examples": ["operations/x7Qm0v3kT1yBz5wLr8nHdA"]},
        "metadata": {"$ref": "#/components/schemas/whybox.v1.AnalysisMetadata"},
        "done": {"type": "boolean"},
        "error": {"$ref": "#/components/schemas/google.rpc.Status"},
        "response": {"$ref": "#/components/schemas/whybox.v1.AnalyzeResponse"},
    },
}
"""The schema of an operation. Its `metadata` and `response` have the field `@type` beside those of their messages."""
# 405 answers what is not in the document; the caller who causes a 499 has hung up.
_STATUSES = {status: kind for kind, status in problems.STATUSES.items() if status not in {405, 499}}
# What may be refused for the want of a key says so in `_guarded`; what has two formats alone may have none that is
# accepted.
_ANALYSIS_STATUSES = [status for status in _STATUSES if status not in {401, 403, 406}]
_KEY = "Key"


@dataclass(frozen=True)
class Described:
    """What the document says of the routes of another room.

    Attributes:
        paths: The operations by path and method.
        answers: The messages that they answer.
    """

    paths: Mapping[str, Any] = field(default_factory=dict)
    answers: Sequence[Descriptor] = ()


def document(
    *, access: Access, max_image_bytes: int, max_timeout: float, further: Sequence[Described] = ()
) -> dict[str, Any]:
    """The document, in OpenAPI 3.1.

    Args:
        access: Who may do what: operations that need a key say its scope.
        max_image_bytes: Largest encoded picture that is read, for the description.
        max_timeout: Seconds that no request may exceed, for the description.
        further: The routes of other rooms, room by room.
    """
    paths = {f"/v1/models/{{model}}:{name}": {"post": _analysis(action)} for name, action in ACTIONS.items()}
    paths |= _reading_paths()
    for room in further:
        paths |= room.paths
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Whybox",
            "version": version("whybox"),
            "summary": "Predictions of an image classifier, each with its evidence.",
            "description": f"A picture may have at most {max_image_bytes} bytes; no request is worked on for more than "
            f"{max_timeout:g} seconds. A part of an answer that could not be computed says so in its own `status`. "
            + _SPELLINGS,
        },
        "paths": {
            path: {method: _guarded(path, operation, access) for method, operation in operations.items()}
            for path, operations in paths.items()
        },
        "components": {
            "schemas": {
                **answer_schemas(
                    (
                        v1.AnalyzeResponse.DESCRIPTOR,
                        v1.AnalysisMetadata.DESCRIPTOR,
                        Status.DESCRIPTOR,
                        v1.ListModelsResponse.DESCRIPTOR,
                        v1.ListAuditsResponse.DESCRIPTOR,
                        *(answer for room in further for answer in room.answers),
                    )
                ),
                **request_schemas((v1.AnalyzeRequest.DESCRIPTOR,)),
                "Problem": _PROBLEM,
            },
            "responses": {f"Problem{status}": _problem(status) for status in _STATUSES},
            "parameters": {
                "RequestId": {
                    "name": "X-Request-ID",
                    "in": "header",
                    "description": "Id that the call shall go by; any other is replaced by one of the server's.",
                    "schema": {"type": "string", "pattern": f"^{PATTERN}$"},
                }
            },
            "securitySchemes": {
                _KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key that `whybox-server keys add` made. Its scope must be that of the operation. "
                    "`analyze` includes `predict`, and `admin` everything. The action `analyze` needs the scope "
                    "`analyze` if it asks for more than prediction and bias.",
                }
            },
            "headers": {
                "RequestId": {"description": "The id that the call went by.", "schema": STRING},
                "RetryAfter": {
                    "description": "Whole seconds after which the same request may succeed.",
                    "schema": {"type": "integer", "minimum": 0},
                },
            },
        },
    }


def _guarded(path: str, operation: dict[str, Any], access: Access) -> dict[str, Any]:
    """An operation, and the key that it needs."""
    need = of_route(path)
    if not access.asks(need):
        return operation
    scopes = [need.value] if isinstance(need, Scope) else []
    # An operation with a default tells its errors in a form of its own.
    default = operation["responses"].get("default")
    refusals = {
        str(status): default or {"$ref": f"#/components/responses/Problem{status}"} for status in (401, 403, 503)
    }
    return operation | {
        "summary": f"{operation['summary']} (scope {need})",
        "security": [{_KEY: scopes}],
        "responses": dict(sorted((refusals | operation["responses"]).items())),
    }


def _analysis(action: Action) -> dict[str, Any]:
    response = {"schema": reference(v1.AnalyzeResponse.DESCRIPTOR)}
    content: dict[str, Any] = {"application/json": response}
    if action.name in DRAWN:
        content[PNG] = {"schema": FILE | {"description": f"If Accept prefers `{PNG}` to JSON: {DRAWN[action.name]}."}}
    if action.is_streamed:
        failure = {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"$ref": "#/components/schemas/Problem"}},
        }
        content[NDJSON] = {
            "schema": {
                "type": "string",
                "description": "If Accept prefers `application/x-ndjson` to JSON: one AnalyzeResponse per line, the "
                'prediction first; a certificate is repeated while it is "running". An error after the first line is '
                'the last line, {"error": <Problem>}.',
                "contentMediaType": "application/json",
                "contentSchema": {"oneOf": [response["schema"], failure]},
            }
        }
    answers = responses(content, _ANALYSIS_STATUSES)
    if ASYNC in action.options:
        location = {"description": "The path of the operation.", "schema": STRING}
        answers["202"] = {
            "description": f"The operation that `{ASYNC.name}` asks for",
            "headers": _headers(retryable=False) | {"Location": location},
            "content": {"application/json": {"schema": OPERATION}},
        }
    return {
        "operationId": action.name,
        "summary": action.summary,
        "tags": ["analysis"],
        "parameters": [MODEL, REQUEST_ID, CONTENT_ENCODING, *(query(option) for option in action.options)],
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in body_schemas(action).items()},
        },
        "responses": dict(sorted(answers.items())),
    }


def _reading_paths() -> dict[str, Any]:
    ready = {
        "type": "object",
        "required": ["ready", "models"],
        "properties": {
            "ready": {"type": "boolean"},
            "models": {
                "type": "object",
                "description": "State of each worker pool, by model, version and pool.",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": {"type": "object", "additionalProperties": STRING},
                },
            },
        },
    }
    alive = {"type": "object", "required": ["status"], "properties": {"status": {"const": "alive"}}}
    models, model, audits = (
        reference(kind.DESCRIPTOR) for kind in (v1.ListModelsResponse, v1.Model, v1.ListAuditsResponse)
    )
    return {
        "/v1/models": {"get": _reading("list_models", "The served models, without their labels", models, (400, 500))},
        "/v1/models/{model}": {
            "get": _reading("get_model", "One model with its labels", model, (400, 404, 500))
            | {"parameters": [MODEL, REQUEST_ID, query(VERSION)]}
        },
        "/v1/models/{model}/audits": {
            "get": _reading("list_audits", "The audits of a model", audits, (400, 404, 500))
            | {"parameters": [MODEL, REQUEST_ID, query(VERSION)]}
        },
        "/v1/models/{model}/audits/{audit}": {"get": _audit()},
        "/healthz": {"get": _operating("healthz", "Whether the server is alive", {"200": alive})},
        "/readyz": {"get": _operating("readyz", "Whether every model can answer", {"200": ready, "503": ready})},
        "/metrics": {"get": _operating("metrics", "Metrics for Prometheus", {"200": STRING}, "text/plain")},
    }


def _audit() -> dict[str, Any]:
    manifest = {
        "type": "object",
        "description": "`audit.json` as the audit wrote it: what it rests on, and all that it finds.",
        "required": ["audit", "flags"],
        "properties": {
            "audit": STRING | {"description": "Id of the audit."},
            "flags": {"type": "array", "items": {"type": "object", "description": "The fields of a BiasFlag."}},
        },
    }
    page = STRING | {"description": f"`audit.html`, a page for people, if Accept prefers `{HTML}` as browsers do."}
    answers = responses(
        {"application/json": {"schema": manifest}, HTML: {"schema": page}}, (400, 404, 406, 500, 503, 504)
    )
    etag = {"ETag": {"description": "The digest of the file in quotes.", "schema": STRING}}
    answers["200"]["headers"] |= etag
    answers["304"] = {"description": "The caller has it already", "headers": _headers(retryable=False) | etag}
    return {
        "operationId": "get_audit",
        "summary": "An audit: its findings as JSON, or its page as HTML",
        "tags": ["models"],
        "parameters": [MODEL, _AUDIT, REQUEST_ID, _IF_NONE_MATCH, *(query(option) for option in AUDIT_OPTIONS)],
        "responses": answers,
    }


def _reading(name: str, summary: str, schema: Schema, statuses: Iterable[int]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["models"],
        "parameters": [REQUEST_ID],
        "responses": responses({"application/json": {"schema": schema}}, statuses),
    }


def _operating(
    name: str, summary: str, schemas: dict[str, Schema], media_type: str = "application/json"
) -> dict[str, Any]:
    answers = {
        status: {"description": summary, "content": {media_type: {"schema": schema}}}
        for status, schema in schemas.items()
    }
    return {"operationId": name, "summary": summary, "tags": ["operation"], "responses": answers}


def responses(content: dict[str, Any], statuses: Iterable[int]) -> dict[str, Any]:
    """The answers of an operation: the good one, by its media types, and the problems with these statuses."""
    answer = {"description": "The answer", "headers": _headers(retryable=False), "content": content}
    return {"200": answer} | {
        str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)
    }


def _problem(status: int) -> dict[str, Any]:
    kind = _STATUSES[status]
    return {
        "description": "An internal error" if status == 500 else problems.title(kind),
        "headers": _headers(retryable=issubclass(kind, UnavailableError) or status == 429),
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _headers(*, retryable: bool) -> dict[str, Any]:
    headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    return headers | ({"Retry-After": {"$ref": "#/components/headers/RetryAfter"}} if retryable else {})


def query(option: Option[Any]) -> dict[str, Any]:
    """An option as a parameter of the query."""
    one = dict(option.kind.schema)
    schema = {"type": "array", "items": one} if option.repeatable else one
    return {"name": option.name, "in": "query", "description": option.description, "schema": schema}
