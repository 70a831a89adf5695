"""JSON Schemas of messages, derived from their descriptors by the rules of the proto3 JSON mapping."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

Schema = dict[str, Any]

_INT32 = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32 = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
# 64 bits do not fit into the numbers of every JSON parser.
_INT64 = {"type": "string", "pattern": "^-?[0-9]+$"}
_UINT64 = {"type": "string", "pattern": "^[0-9]+$"}
_FLOAT = {"oneOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: _FLOAT,
    FieldDescriptor.TYPE_FLOAT: _FLOAT,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

# Messages that the mapping gives a form of their own.
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Any": {
        "type": "object",
        "required": ["@type"],
        "properties": {"@type": {"type": "string", "examples": ["type.googleapis.com/google.rpc.ErrorInfo"]}},
    },
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}


def reference(message: Descriptor) -> Schema:
    """Points to the schema of a message in the components of a document."""
    return {"$ref": f"#/components/schemas/{message.full_name}"}


def answer_schemas(roots: Iterable[Descriptor]) -> dict[str, Schema]:
    """Schemas of messages as they are answered, and of all that they consist of, by full name.

    Fields without presence are always there (`always_print_fields_with_no_presence`); others are there when set.
    """
    return _schemas(roots, answered=True)


def request_schemas(roots: Iterable[Descriptor]) -> dict[str, Schema]:
    """Schemas of messages as they are taken in: no field is needed, each may be null, and none may be unknown."""
    return _schemas(roots, answered=False)


def nullable(schema: Schema) -> Schema:
    """The schema of a value that may also be null, which is as if it were left out; it keeps the description."""
    described = {"description": schema["description"]} if "description" in schema else {}
    return {
        "anyOf": [{name: what for name, what in schema.items() if name not in described}, {"type": "null"}]
    } | described


def _schemas(roots: Iterable[Descriptor], *, answered: bool) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name in schemas:
            continue
        if message.full_name in _WELL_KNOWN:
            schemas[message.full_name] = _WELL_KNOWN[message.full_name]
            continue
        schema: Schema = {
            "type": "object",
            "title": message.name,
            "properties": {field.name: _field(field) for field in message.fields},
        }
        required = [field.name for field in message.fields if not field.has_presence]
        if not answered:
            schema["properties"] = {name: nullable(value) for name, value in schema["properties"].items()}
            schema["additionalProperties"] = False
        elif required:
            schema["required"] = required
        schemas[message.full_name] = schema
        waiting.extend(part for field in message.fields for part in _parts(field))
    return schemas


def _parts(field: FieldDescriptor) -> list[Descriptor]:
    message = (_map_value(field) or field).message_type
    return [message] if message else []


def _field(field: FieldDescriptor) -> Schema:
    value = _map_value(field)
    if value:
        return {"type": "object", "additionalProperties": _value(value)}
    return {"type": "array", "items": _value(field)} if field.is_repeated else _value(field)


def _value(field: FieldDescriptor) -> Schema:
    if field.message_type:
        return reference(field.message_type)
    if field.enum_type:
        return {"enum": [value.name for value in field.enum_type.values]}
    return _SCALARS[field.type]


def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    entry = field.message_type
    return entry.fields_by_name["value"] if entry and entry.GetOptions().map_entry else None
