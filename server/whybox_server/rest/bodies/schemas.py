"""JSON Schemas of the bodies that an action takes."""

from typing import Any

from whybox import v1
from whybox_server.gateway.parts import PARTS
from whybox_server.rest.actions import ANALYZE, Action
from whybox_server.rest.json_schema import Schema, nullable, request_schemas
from whybox_server.rest.values import MAX_VALUES
from whybox_server.validation.options import Option
from whybox_server.validation.request import TIMEOUT

FILE: Schema = {"type": "string", "format": "binary"}
"""Bytes as they are."""

_BASE64 = {"type": "string", "contentEncoding": "base64"}
_IMAGE = {"image": "The encoded picture: JPEG, PNG, WebP or GIF."}


def body_schemas(action: Action) -> dict[str, Schema]:
    """The schema of each kind of body, by its media type."""
    return {
        "image/*": FILE,
        "application/octet-stream": FILE,
        "multipart/form-data": _form(action),
        "application/json": _json(action),
    }


def _form(action: Action) -> Schema:
    """Pictures and options as parts of a form."""
    pictures = _pictures(action, FILE)
    return _object(pictures | {option.name: _of_body(option) for option in action.options})


def _flat_json(action: Action) -> Schema:
    """Pictures and options as fields of a JSON object, in which all but the picture may be null."""
    options = {option.name: nullable(_of_body(option)) for option in action.options}
    pictures = _pictures(action, _BASE64)
    others = {name: nullable(schema) for name, schema in pictures.items() if name not in _IMAGE}
    return _object(pictures | others | options)


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": [*_IMAGE], "properties": properties, "additionalProperties": False}


def _pictures(action: Action, image: Schema) -> dict[str, Schema]:
    described = _IMAGE | {option.name: option.description for option in action.pictures}
    return {name: image | {"description": what} for name, what in described.items()}


def _of_body(option: Option[Any]) -> Schema:
    one = dict(option.kind.schema)
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_VALUES}
    schema = {"oneOf": [one, several]} if option.repeatable else one
    return schema | {"description": option.description}


def _json(action: Action) -> Schema:
    flat = _flat_json(action)
    if action.name != ANALYZE:
        return flat
    request = v1.AnalyzeRequest.DESCRIPTOR
    image = flat["properties"]["image"]
    parts = request_schemas((request,))[request.full_name]
    return {
        "oneOf": [
            flat | {"title": "Options"},
            parts
            | {
                "title": "Parts",
                "description": "Only the parts that are spelled out are computed.",
                "properties": parts["properties"] | {"image": image, "timeout": nullable(dict(TIMEOUT.kind.schema))},
                "required": ["image"],
                "anyOf": [{"required": [part], "properties": {part: {"not": {"type": "null"}}}} for part in PARTS],
            },
        ]
    }
