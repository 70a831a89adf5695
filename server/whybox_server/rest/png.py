"""A map as the whole answer: `:explain` with `Accept: image/png`."""

from starlette.responses import Response

from whybox import v1
from whybox.v1.errors import InvalidRequestError

PNG = "image/png"

_PICTURES = ("overlay", "heat_map")


def ask_for_picture(request: v1.AnalyzeRequest) -> None:
    """Has the request ask for the one picture that will be the answer; an overlay unless it names another.

    Raises:
        InvalidRequestError: It asks for more than one picture can show.
    """
    if len(request.explanations) > 1:
        field = "method" if len({options.method for options in request.explanations}) > 1 else "target_class"
        message = f"{PNG} is one picture; ask for one method and one class, or accept application/json"
        raise InvalidRequestError(message, field=field)
    [options] = request.explanations
    if not options.encodings:
        options.encodings.append(_PICTURES[0])
    if list(options.encodings) not in ([name] for name in _PICTURES):
        message = f"{PNG} carries one of {' and '.join(_PICTURES)}; accept application/json for more"
        raise InvalidRequestError(message, field="encoding")
    if options.quality:
        message = f"{PNG} carries no measurements; leave quality out, or accept application/json"
        raise InvalidRequestError(message, field="quality")


def picture_response(answer: v1.AnalyzeResponse) -> Response:
    """The picture of the only explanation."""
    [explanation] = answer.explanations
    return Response(explanation.overlay or explanation.heat_map, media_type=PNG)
