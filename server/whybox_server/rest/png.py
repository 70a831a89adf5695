"""A drawing as the whole answer: `:explain` and `:robustness` with `Accept: image/png`."""

from starlette.responses import Response

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError

PNG = "image/png"

DRAWN = {
    "explain": "one map over the picture; with encoding=heat_map, it alone",
    "robustness": "what the model saw, changed so that its answer flips; with picture=change, the change amplified",
}
"""What the picture shows, by action."""

_MAPS = ("overlay", "heat_map")
_CHANGES = ("adversarial", "change")


def ask_for_picture(request: v1.AnalyzeRequest, model: v1.Model) -> None:
    """Has the request, for maps or for robustness, ask for the one picture that will be the answer.

    Unless it names another, that is an overlay, or the adversarial picture.

    Args:
        request: As it came.
        model: The model that it names.

    Raises:
        InvalidRequestError: It asks for more than one picture can show, or for what is no map.
    """
    if request.HasField("robustness"):
        _ask_for_change(request.robustness)
    else:
        _ask_for_map(request, model)


def picture_response(answer: v1.AnalyzeResponse) -> Response:
    """The picture of the only explanation, or of the only distance.

    Raises:
        FailedPreconditionError: No change was found that could be shown.
    """
    if answer.HasField("robustness"):
        [distance] = answer.robustness.distances
        picture = distance.adversarial_picture or distance.change_picture
        if not picture:
            raise _nothing_to_show(distance)
    else:
        [explanation] = answer.explanations
        picture = explanation.overlay or explanation.heat_map
    return Response(picture, media_type=PNG)


def _ask_for_map(request: v1.AnalyzeRequest, model: v1.Model) -> None:
    if len(request.explanations) > 1:
        field = "method" if len({options.method for options in request.explanations}) > 1 else "target_class"
        message = f"{PNG} is one picture; ask for one method and one class, or accept application/json"
        raise InvalidRequestError(message, field=field)
    [options] = request.explanations
    if any(method.name == options.method and method.gives_examples for method in model.methods):
        message = f"{PNG} is one map, and {options.method} makes none; accept application/json"
        raise InvalidRequestError(message, field="method")
    if not options.encodings:
        options.encodings.append(_MAPS[0])
    if list(options.encodings) not in ([name] for name in _MAPS):
        message = f"{PNG} carries one of {' and '.join(_MAPS)}; accept application/json for more"
        raise InvalidRequestError(message, field="encoding")
    if options.quality:
        message = f"{PNG} carries no measurements; leave quality out, or accept application/json"
        raise InvalidRequestError(message, field="quality")


def _ask_for_change(options: v1.RobustnessOptions) -> None:
    if len(options.norms) > 1:
        raise InvalidRequestError(f"{PNG} is one picture; ask for one norm, or accept application/json", field="norm")
    if not options.encodings:
        options.encodings.append(_CHANGES[0])
    if list(options.encodings) not in ([name] for name in _CHANGES):
        message = f"{PNG} carries one of {' and '.join(_CHANGES)}; accept application/json for both"
        raise InvalidRequestError(message, field="picture")
    for field, given in (
        ("transfer", options.transfer),
        ("twin", options.twin),
        ("corruption", options.corruptions),
    ):
        if given:
            message = f"{PNG} carries no {field}; leave it out, or accept application/json"
            raise InvalidRequestError(message, field=field)


def _nothing_to_show(distance: v1.Distance) -> FailedPreconditionError:
    if distance.state != "found":
        message = (
            f"there is no picture: no change up to {distance.searched_radius:.3g} ({distance.norm}) was found to flip "
            "the answer; allow a larger budget, or ask for another attack"
        )
    else:
        message = (
            "there is no picture: 8 bits per channel cannot hold any change along the direction that was found; "
            "picture=change shows it amplified"
        )
    return FailedPreconditionError(message, reason="NO_ADVERSARIAL_PICTURE")
