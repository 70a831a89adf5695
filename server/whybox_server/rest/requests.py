"""From an HTTP request to the gateway's message."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf import json_format
from starlette.requests import Request

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.gateway.deployment import Choice
from whybox_server.gateway.parts import PARTS
from whybox_server.rest.actions import ANALYZE, Action
from whybox_server.rest.bodies.base64_text import of_message
from whybox_server.rest.bodies.reading import Body, read_body
from whybox_server.rest.values import read_values
from whybox_server.validation.operations import ASYNC
from whybox_server.validation.request import COMMON, TIMEOUT, VERSION


class Asked(NamedTuple):
    """What a request asks for.

    Attributes:
        message: Unvalidated as to what its values mean for a model.
        timeout: Seconds that the caller will wait; None if it did not say.
        is_operation: Whether the work goes on without the caller.
    """

    message: v1.AnalyzeRequest
    timeout: float | None
    is_operation: bool


async def read_request(request: Request, action: Action, choice: Choice, max_image_bytes: int) -> Asked:
    """Reads the picture and the options of `POST /v1/models/{model}:{action}`.

    Args:
        request: The request.
        action: What it asks for.
        choice: The model in its path. A version in the body is looked up in the same deployment.
        max_image_bytes: Largest encoded picture that is read.

    Raises:
        InvalidRequestError: Something in it cannot be understood.
        CancelledError: The caller went away while sending.
        NotFoundError: The body names a version that is not there.
    """
    model = choice.model
    query = request.query_params.multi_items()
    # What is wrong in the address is told before the picture is uploaded.
    read_values(action.options, query, model=model)
    body = await read_body(request, max_image_bytes)
    pictures = _pictures(action, body)
    spelled_out = _take_parts(body.json, model.name) if action.name == ANALYZE else {}
    sent = (*body.form, *_scalars(action, body.json))
    # Names of classes, and what else depends on the model, are those of the version that answers.
    for name, value in sent:
        if name == VERSION.name and isinstance(value, str):
            model = choice.deployment.model(model.name, value)
    given = read_values(action.options, query, sent, model)
    message = v1.AnalyzeRequest(
        model=model.name,
        version=given.get("version", ""),
        image=body.picture,
        seed=given.get("seed", 0),
        view=given.get("view", False),
    )
    if spelled_out:
        _check_unmixed(given.keys() | pictures.keys(), spelled_out)
        _add_parts(message, spelled_out)
    else:
        for part in action.parts:
            if not part.costly or len(action.parts) == 1 or _names(part.options.options) & given.keys():
                part.options.write(message, given | pictures)
    return Asked(message, given.get(TIMEOUT.name), given.get(ASYNC.name, False))


def _pictures(action: Action, body: Body) -> dict[str, bytes]:
    """The pictures that are options of the action, by name."""
    for name in body.pictures.keys() - _names(action.pictures):
        raise InvalidRequestError(f"{action.name} takes no {name}; leave it out", field=name)
    return dict(body.pictures)


def _names(options: Iterable[Any]) -> set[str]:
    return {option.name for option in options}


def _take_parts(fields: dict[str, Any], model: str) -> dict[str, Any]:
    """Takes the parts out of a body that is an AnalyzeRequest in JSON; such a body may repeat the model's name."""
    named = {name: fields.pop(name) for name in PARTS if name in fields}
    parts = {name: part for name, part in named.items() if part is not None}
    if named and not parts:
        first = next(iter(named))
        message = f"{first} is null; give at least one part an object, such as {{}}, or leave all of them out"
        raise InvalidRequestError(message, field=first)
    if parts and fields.pop("model", model) not in (model, None):
        raise InvalidRequestError(f"model differs from the one in the path, {model}", field="model")
    return parts


def _scalars(action: Action, fields: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """An array is a repeated option; an option that is null is left out."""
    known = _names(action.options)
    repeatable = _names(option for option in action.options if option.repeatable)
    for name, value in fields.items():
        if isinstance(value, list) and value and name in repeatable:
            yield from ((name, item) for item in value)
        elif value is not None or name not in known:
            yield name, value


def _check_unmixed(given: Iterable[str], parts: Mapping[str, Any]) -> None:
    """A body that spells out parts says their options inside of them."""
    if mixed := sorted(set(given) - _names((*COMMON, ASYNC))):
        message = f"{mixed[0]} cannot be combined with {', '.join(parts)}: say it inside of the part"
        raise InvalidRequestError(message, field=mixed[0])


def _check_baselines(explanations: object) -> None:
    """Checks the pictures inside of the parts, and takes white space out of them."""
    for index, options in enumerate(explanations if isinstance(explanations, list) else ()):
        for name in ("baseline_image", "baselineImage"):
            if isinstance(options, dict) and options.get(name) is not None:
                options[name] = of_message(f"explanations[{index}].{name}", options[name])


def _add_parts(message: v1.AnalyzeRequest, parts: Mapping[str, Any]) -> None:
    _check_baselines(parts.get("explanations"))
    for name, value in parts.items():
        try:
            # One by one, so that an error can name the part.
            json_format.ParseDict({name: value}, message)
        except (json_format.ParseError, ValueError, RecursionError) as exc:
            raise InvalidRequestError(f"{name} cannot be understood: {exc}", field=name) from None
