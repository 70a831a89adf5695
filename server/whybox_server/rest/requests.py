"""From an HTTP request to the gateway's message."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from starlette.requests import Request

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.rest.bodies import read_body
from whybox_server.rest.given import read_options
from whybox_server.rest.options import ACTIONS, EXPLAINING, OPTIONS, Options, options_of
from whybox_server.validation.request import check_explanations

DEFAULT_METHOD = "grad_cam"
PARTS = ("prediction", "explanations", "robustness", "bias", "certified")
_REPEATABLE = frozenset(name for name, option in OPTIONS.items() if option.repeatable)
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
    if body.baseline_image and action not in EXPLAINING:
        raise InvalidRequestError(f"{action} takes no baseline_image; leave it out.", field="baseline_image")
    parts = _take_parts(body.json, model) if action == "analyze" else {}
    given = read_options(options_of(action), request.query_params.multi_items(), (*body.form, *_scalars(body.json)))
    options = Options(**given)
    message = v1.AnalyzeRequest(model=model, version=options.version, image=body.picture, seed=options.seed)
    if parts:
        mixed = sorted(given.keys() - _ABOUT_ALL_PARTS) or ["baseline_image"] * bool(body.baseline_image)
        if mixed:
            raise InvalidRequestError(
                f"{mixed[0]} cannot be combined with {', '.join(parts)}: say it inside of the part.", field=mixed[0]
            )
        _add_parts(message, parts)
    else:
        _add_options(message, action, options, body.baseline_image)
    return message, options.timeout


def _take_parts(fields: dict[str, Any], model: str) -> dict[str, Any]:
    """Takes the parts out of a body that is an AnalyzeRequest in JSON; such a body may repeat the model's name."""
    parts = {name: fields.pop(name) for name in PARTS if name in fields}
    if parts and fields.pop("model", model) != model:
        raise InvalidRequestError(f"model differs from the one in the path, {model}.", field="model")
    return parts


def _scalars(fields: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """An array is a repeated option."""
    for name, value in fields.items():
        if isinstance(value, list) and value and name in _REPEATABLE:
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


def _add_options(message: v1.AnalyzeRequest, action: str, options: Options, baseline_image: bytes) -> None:
    wanted = ACTIONS if action == "analyze" else (action,)
    if "predict" in wanted:
        message.prediction.CopyFrom(v1.PredictionOptions(top_k=options.top_k))
    if "explain" in wanted:
        message.explanations.extend(_explanations(options, baseline_image))
    if "robustness" in wanted:
        message.robustness.CopyFrom(_robustness(options))
    if "bias" in wanted:
        message.bias.CopyFrom(v1.BiasOptions(attributes=options.attribute))
    certified = v1.CertifiedOptions(sigma=options.sigma, samples=options.samples, alpha=options.alpha)
    # It takes long: `:analyze` computes it only where one of its options is given, and refuses those without sigma.
    if action == "certify" or certified.ByteSize():
        message.certified.CopyFrom(certified)


def _explanations(options: Options, baseline_image: bytes) -> Iterator[v1.ExplanationOptions]:
    """One map for each method and each class; every other option is for all of them."""
    methods, targets = options.method or (DEFAULT_METHOD,), options.target_class or (None,)
    # Here already: a small body can name more of them than memory holds.
    check_explanations(len(methods) * len(targets))
    for method, target in itertools.product(methods, targets):
        yield v1.ExplanationOptions(
            method=method,
            **_named("target", target),
            **_named("contrast", options.contrast_class),
            baseline=options.baseline,
            baseline_image=baseline_image,
            max_evaluations=options.max_evaluations,
            tolerance=options.tolerance,
            encodings=options.encoding,
            channels=options.channels,
            quality=options.quality,
        )


def _robustness(options: Options) -> v1.RobustnessOptions:
    return v1.RobustnessOptions(
        norms=options.norm,
        budget=options.budget,
        attack=options.attack,
        encodings=options.picture,
        transfer=options.transfer,
        twin=options.twin,
        corruptions=options.corruption,
    )


def _named(role: str, chosen: int | str | None) -> dict[str, Any]:
    return {f"{role}_label" if isinstance(chosen, str) else f"{role}_class": chosen}
