"""Requests and answers over REST: JSON, and behind it the values of the tensors that say so as raw bytes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.oip.inference import (
    ONE_INPUT,
    TOP_K,
    Question,
    Wanted,
    check_known,
    number_of_classes,
    wanted,
)
from whybox_server.oip.tensors import BYTES, OUTPUTS, RAW_SIZE, InputHead, Tensor, raw
from whybox_server.rest.bodies.base64_text import decoded
from whybox_server.rest.bodies.reading import JSON_LENGTH, media_type_of, parsed, read_bytes
from whybox_server.rest.problems import BodyTooLargeError, UnsupportedMediaTypeError
from whybox_server.validation.kinds import BOOLEAN, TEXT, Kind

JSON, RAW = "application/json", "application/octet-stream"

_BINARY = "binary_data"
_ALL_BINARY = "binary_data_output"
_ROOM_FOR_JSON = 2**20


@dataclass(frozen=True)
class Body:
    """A request for an inference.

    Attributes:
        id: What the caller calls it; "" if nothing.
        question: What is asked.
        raw: Names of the outputs that are answered as raw bytes.
    """

    id: str
    question: Question
    raw: frozenset[str]


def largest(max_image_bytes: int) -> int:
    """Bytes that a body may have: its pictures together may weigh as much as one, in base64, with JSON around them."""
    return (max_image_bytes + 2) // 3 * 4 + _ROOM_FOR_JSON


async def read_inference(request: Request, model: v1.Model, max_image_bytes: int) -> Body:
    """Reads the body of a request.

    Args:
        request: The request.
        model: The model in its path.
        max_image_bytes: Largest encoded picture.

    Raises:
        WhyboxError: Something in it cannot be understood, or it is too large.
    """
    # Some clients name no type.
    if (media_type := media_type_of(request)) not in (JSON, RAW, ""):
        message = f"Content-Type {media_type} is not understood; send {JSON}, or {RAW} if raw bytes follow the JSON"
        raise UnsupportedMediaTypeError(message)
    limit = largest(max_image_bytes)
    too_large = BodyTooLargeError(
        f"the body may have at most {limit:,} bytes; send fewer or smaller pictures, and tensors as raw bytes"
    )
    body = await read_bytes(request, limit, too_large)
    length = _json_length(request.headers.get(JSON_LENGTH), len(body))
    return _question(parsed(body[:length]), memoryview(body)[length:], model)


def response(model: v1.Model, asked: Body, tensors: Sequence[Tensor]) -> Response:
    """The answer to a request."""
    outputs, behind = [], []
    for tensor in tensors:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if tensor.name in asked.raw:
            behind.append(raw(tensor))
            output["parameters"] = {RAW_SIZE: len(behind[-1])}
        else:
            output["data"] = _listed(tensor)
        outputs.append(output)
    answer = {"model_name": model.name, "model_version": model.version}
    if asked.id:
        answer["id"] = asked.id
    text = json.dumps(answer | {"outputs": outputs}, separators=(",", ":")).encode()
    if not behind:
        return Response(text, media_type=JSON)
    return Response(b"".join((text, *behind)), media_type=RAW, headers={JSON_LENGTH: str(len(text))})


def _json_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    if not (header.isascii() and header.isdigit() and len(header) < 20 and int(header) <= size):
        message = f"{JSON_LENGTH} must be the number of bytes of the JSON, at most the {size} of the body"
        raise InvalidRequestError(message, field=JSON_LENGTH)
    return int(header)


def _question(fields: dict[str, Any], behind: memoryview, model: v1.Model) -> Body:
    _check_fields(fields, ("model_name", "model_version", "id", "parameters", "inputs", "outputs"), "the body")
    # KServe's client repeats them.
    for name, right in (("model_name", model.name), ("model_version", model.version)):
        if fields.get(name) not in (None, "", right):
            raise InvalidRequestError(f"{name} differs from the one in the path, {right}", field=name)
    parameters = _object(fields, "parameters", "the body")
    check_known(parameters, (TOP_K, _ALL_BINARY), "parameters")
    all_raw = _value(parameters, _ALL_BINARY, BOOLEAN)
    outputs: list[Wanted] = []
    raw_outputs = set()
    for place, output in enumerate(_list(fields, "outputs")):
        where = f"outputs[{place}]"
        _check_fields(output, ("name", "parameters"), where)
        of_output = _object(output, "parameters", where)
        is_raw = _value(of_output, _BINARY, BOOLEAN)
        others = {name: value for name, value in of_output.items() if name != _BINARY}
        outputs.append(wanted(_text(output, "name", where), others, model))
        if all_raw if is_raw is None else is_raw:
            raw_outputs.add(outputs[-1].name)
    if not outputs and all_raw:
        outputs = [Wanted(name) for name in OUTPUTS]
        raw_outputs = {*OUTPUTS}
    question = Question(
        _input(_list(fields, "inputs"), behind), outputs, number_of_classes(TOP_K, parameters.get(TOP_K), model)
    )
    return Body(_value(fields, "id", TEXT) or "", question, frozenset(raw_outputs))


def _input(inputs: list[dict[str, Any]], behind: memoryview) -> Tensor:
    if len(inputs) != 1:
        raise InvalidRequestError(f"{ONE_INPUT}, not {len(inputs)}", field="inputs")
    [given] = inputs
    where = "inputs[0]"
    _check_fields(given, ("name", "shape", "datatype", "parameters", "data"), where)
    shape = given.get("shape")
    head = InputHead.checked(
        _text(given, "name", where), _text(given, "datatype", where), shape if isinstance(shape, list) else [None]
    )
    parameters = _object(given, "parameters", where)
    check_known(parameters, (RAW_SIZE,), f"{where}.parameters")
    if (RAW_SIZE in parameters) == ("data" in given):
        message = f"{head.name} must have its values either as data, or behind the JSON with the parameter {RAW_SIZE}"
        raise InvalidRequestError(message, field=head.name)
    size = parameters.get(RAW_SIZE, 0)
    if isinstance(size, bool) or size != len(behind):
        message = f"{RAW_SIZE} of {head.name} is {size!r:.40}, but {len(behind)} bytes follow the JSON ({JSON_LENGTH})"
        raise InvalidRequestError(message, field=head.name)
    if RAW_SIZE in parameters:
        return head.of_raw(behind)
    if head.datatype == BYTES:
        data = given["data"]
        texts = data if isinstance(data, list) else [data]
        return head.of_elements([decoded(f"{head.name}[{place}]", text) for place, text in enumerate(texts)])
    return head.of_numbers(given["data"])


def _listed(tensor: Tensor) -> list[Any]:
    if isinstance(tensor.values, np.ndarray):
        return tensor.values.ravel().tolist()
    return [each.decode() for each in tensor.values]


def _check_fields(fields: object, known: Sequence[str], where: str) -> None:
    if not isinstance(fields, dict):
        raise InvalidRequestError(f"{where} must be a JSON object", field=where)
    for name in fields:
        if name not in known:
            raise InvalidRequestError(f"unknown field {name!r:.60} in {where}; known: {', '.join(known)}", field=where)


def _object(fields: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequestError(f"{name} of {where} must be a JSON object", field=name)
    return value or {}


def _list(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = fields.get(name)
    if value is not None and not isinstance(value, list):
        raise InvalidRequestError(f"{name} must be an array", field=name)
    return value or []


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} of {where} must be a string", field=name)
    return value


def _value(fields: Mapping[str, Any], name: str, kind: Kind) -> Any:
    """A field, if it is given; None if not."""
    if fields.get(name) is None:
        return None
    try:
        return kind.read(fields[name])
    except ValueError as error:
        raise InvalidRequestError(f"{name} {error}", field=name) from None
