"""What the OpenAPI document says of the routes of the protocol."""

from collections.abc import Iterable, Sequence
from typing import Any

from whybox_server.oip.bodies import JSON, RAW
from whybox_server.oip.pictures import MAX_PICTURES
from whybox_server.oip.rest import LIVE, MODEL, PATH, READY, VERSION
from whybox_server.oip.tensors import INPUTS, OUTPUTS
from whybox_server.rest import openapi
from whybox_server.rest.bodies.reading import JSON_LENGTH
from whybox_server.rest.json_schema import Schema
from whybox_server.rest.openapi import CONTENT_ENCODING, REQUEST_ID, STRING, Described, query
from whybox_server.validation.request import TIMEOUT

_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": -1}}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": STRING}}
_VERSION = {"name": "version", "in": "path", "required": True, "description": "A served version.", "schema": STRING}
_JSON_LENGTH = {
    "name": JSON_LENGTH,
    "in": "header",
    "description": f"Number of bytes of the JSON, if raw bytes follow it ({RAW}).",
    "schema": {"type": "integer", "minimum": 0},
}
_COMMON = (500, 503)
_OF_MODEL = (400, 404, *_COMMON)
_OF_INFERENCE = (400, 404, 408, 409, 413, 415, 429, *_COMMON, 504)


def described() -> Described:
    """What the document says of the routes."""
    server = _object({"name": STRING, "version": STRING, "extensions": {"type": "array", "items": STRING}})
    tensor = _object({"name": STRING, "datatype": STRING, "shape": _SHAPE})
    tensors = {"type": "array", "items": tensor}
    metadata = _object(
        {
            "name": STRING,
            "versions": {"type": "array", "items": STRING},
            "platform": STRING,
            "inputs": tensors,
            "outputs": tensors,
        }
    )
    ready = _object({"ready": {"type": "boolean"}})
    paths = {
        PATH: {"get": _operation("oip_server", "The server and its extensions", server, (400, *_COMMON))},
        LIVE: {"get": _operation("oip_live", "Whether the server is alive", _object({"live": {"const": True}}), ())},
        READY: {"get": _probe("oip_ready", "Whether every model can answer", ready, ())},
    }
    for path, name, parameters in ((MODEL, "", ()), (VERSION, "_version", (_VERSION,))):
        of_model = (openapi.MODEL, *parameters)
        paths[path] = {
            "get": _operation(f"oip_model{name}", "The tensors of a model", metadata, _OF_MODEL, of_model),
        }
        named = _object({"name": STRING, "ready": {"type": "boolean"}})
        paths[f"{path}/ready"] = {
            "get": _probe(f"oip_model{name}_ready", "Whether a model can answer", named, of_model),
        }
        paths[f"{path}/infer"] = {"post": _inference(f"oip_infer{name}", of_model)}
    return Described(paths=paths)


def _inference(name: str, parameters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    count = {"type": "integer", "minimum": 1}
    binary = {"type": "boolean", "description": "Whether the values of the outputs are raw bytes behind the JSON."}
    size = {"type": "integer", "minimum": 0, "description": "Number of raw bytes behind the JSON."}
    given = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"enum": [*INPUTS]},
            "datatype": {"enum": [*INPUTS.values()]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "parameters": _closed({"binary_data_size": size}),
            "data": {"description": "The values, flat or nested; elements of BYTES in base64."},
        },
    }
    wanted = _closed(
        {
            "name": {"enum": [*OUTPUTS]},
            "parameters": _closed({"binary_data": binary, "classification": count}),
        }
    ) | {"required": ["name"]}
    body = _closed(
        {
            "model_name": STRING | {"description": "That of the path; it may be left out."},
            "model_version": STRING | {"description": "A served version; by default the server chooses."},
            "id": STRING,
            "parameters": _closed({"top_k": count, "binary_data_output": binary}),
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": given},
            "outputs": {"type": "array", "items": wanted},
        }
    ) | {"required": ["inputs"]}
    output = _object({"name": STRING, "datatype": STRING, "shape": _SHAPE})
    output["properties"] |= {"data": {"type": "array"}, "parameters": {"type": "object"}}
    answer = _object({"model_name": STRING, "model_version": STRING, "outputs": {"type": "array", "items": output}})
    answer["properties"] |= {"id": STRING}
    summary = f"Classes of at most {MAX_PICTURES} pictures, by the Open Inference Protocol"
    operation = _operation(
        name,
        summary,
        answer,
        _OF_INFERENCE,
        (*parameters, _JSON_LENGTH, CONTENT_ENCODING, query(TIMEOUT)),
    )
    raw = {"schema": STRING | {"description": f"JSON, and raw bytes behind it; {JSON_LENGTH} tells where they begin."}}
    operation["responses"]["200"]["content"][RAW] = raw
    return operation | {"requestBody": {"required": True, "content": {JSON: {"schema": body}, RAW: raw}}}


def _object(properties: dict[str, Schema]) -> dict[str, Any]:
    """An object with all of these."""
    return {"type": "object", "required": [*properties], "properties": properties}


def _closed(properties: dict[str, Schema]) -> dict[str, Any]:
    """An object with these or none, and nothing else."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _probe(name: str, summary: str, schema: Schema, parameters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    operation = _operation(name, summary, schema, _OF_MODEL if parameters else (500,), parameters)
    # What is not ready says so with the same body; a server that cannot answer at all, with an error.
    either = {"oneOf": [schema, _ERROR]}
    operation["responses"]["503"] = {"description": "Not ready", "content": {JSON: {"schema": either}}}
    return operation


def _operation(
    name: str, summary: str, schema: Schema, statuses: Iterable[int], parameters: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    error = {"description": "An error", "content": {JSON: {"schema": _ERROR}}}
    answers: dict[str, Any] = {"200": {"description": "The answer", "content": {JSON: {"schema": schema}}}}
    answers |= {str(status): error for status in statuses} | {"default": error}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["open inference protocol"],
        "parameters": [*parameters, REQUEST_ID],
        "responses": answers,
    }
