"""From an HTTP request to the gateway's message."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from starlette.requests import Request

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.rest.bodies import read_body
from whybox_server.rest.options import ACTIONS, Options, options_of, read_options

DEFAULT_METHOD = "grad_cam"
PARTS = ("prediction", "explanations", "robustness", "bias")

_METHODS_WITH_STEPS = frozenset({"integrated_gradients"})
# What remains free when the body spells out the parts: the options of every action.
_ABOUT_ALL_PARTS = frozenset(option.name for option in options_of("analyze") if set(option.actions) == set(ACTIONS))


async def read_request(request: Request, action: str, max_image_bytes: int) -> tuple[v1.AnalyzeRequest, float | None]:
    """Reads the picture and the options of `POST /v1/models/{model}:{action}`.

    Returns:
        The request, unvalidated as to what its values mean, and the seconds that the caller will wait if it said so.

    Raises:
        InvalidRequestError: Something in it cannot be understood.
        CancelledError: The caller went away while sending.
    """
    model: str = request.path_params["model"]
    body = await read_body(request, max_image_bytes)
    parts = _take_parts(body.json, model) if action == "analyze" else {}
    given = read_options(options_of(action), request.query_params.multi_items(), (*body.form, *_scalars(body.json)))
    options = Options(**given)
    message = v1.AnalyzeRequest(model=model, version=options.version, image=body.picture, seed=options.seed)
    if parts:
        mixed = sorted(given.keys() - _ABOUT_ALL_PARTS)
        if mixed:
            raise InvalidRequestError(
                f"{mixed[0]} cannot be combined with {', '.join(parts)}: say it inside of the part.", field=mixed[0]
            )
        _add_parts(message, parts)
    else:
        _add_options(message, action, options)
    return message, options.timeout


def _take_parts(fields: dict[str, Any], model: str) -> dict[str, Any]:
    """Takes the parts out of a body that is an AnalyzeRequest in JSON; such a body may repeat the model's name."""
    parts = {name: fields.pop(name) for name in PARTS if name in fields}
    if parts and fields.pop("model", model) != model:
        raise InvalidRequestError(f"model differs from the one in the path, {model}.", field="model")
    return parts


def _scalars(fields: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, list) and value:
            yield from ((name, item) for item in value)
        else:
            yield name, value


def _add_parts(message: v1.AnalyzeRequest, parts: Mapping[str, Any]) -> None:
    for name, value in parts.items():
        try:
            # One by one, so that an error can name the part.
            json_format.ParseDict({name: value}, message)
        except (json_format.ParseError, ValueError, RecursionError) as exc:
            raise InvalidRequestError(f"{name} cannot be understood: {exc}", field=name) from None


def _add_options(message: v1.AnalyzeRequest, action: str, options: Options) -> None:
    wanted = ACTIONS if action == "analyze" else (action,)
    if "predict" in wanted:
        message.prediction.CopyFrom(v1.PredictionOptions(top_k=options.top_k))
    if "explain" in wanted:
        message.explanations.extend(_explanations(options))
    if "robustness" in wanted:
        message.robustness.CopyFrom(v1.RobustnessOptions(norms=options.norm, budget=options.budget))
    if "bias" in wanted:
        message.bias.CopyFrom(v1.BiasOptions(attributes=options.attribute))


def _explanations(options: Options) -> Iterator[v1.ExplanationOptions]:
    methods = options.method or (DEFAULT_METHOD,)
    if options.steps is not None and not _METHODS_WITH_STEPS.intersection(methods):
        takers = ", ".join(sorted(_METHODS_WITH_STEPS))
        raise InvalidRequestError(
            f"steps is only for {takers}; ask for it with method, or leave steps out.", field="steps"
        )
    for method in methods:
        yield v1.ExplanationOptions(
            method=method,
            target_class=options.target_class,
            steps=options.steps if method in _METHODS_WITH_STEPS else None,
            dtype=options.dtype,
            channels=options.channels,
        )
