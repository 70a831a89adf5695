"""Semantic checks of a request against the model that shall answer it, and its defaults.

Everything that can be wrong with a request is refused here, before it waits in any queue, except for the picture
itself, which is read where it is decoded.
"""

from typing import Literal

from whybox import v1
from whybox.v1.errors import InvalidRequestError, PictureError, PictureTooLargeError
from whybox_server.validation.certified import fill_certified
from whybox_server.validation.checks import check_distinct, check_range
from whybox_server.validation.explanations import fill_explanation
from whybox_server.validation.robustness import fill_robustness

MAX_EXPLANATIONS = 16
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_LENGTH = 100

_DEFAULT_TOP_K = 5
_SINGLE_PARTS: tuple[Literal["prediction", "robustness", "bias", "certified"], ...] = (
    "prediction",
    "robustness",
    "bias",
    "certified",
)


def validated(request: v1.AnalyzeRequest, model: v1.Model, max_image_bytes: int) -> v1.AnalyzeRequest:
    """A copy of the request with every default filled in: two requests that mean the same become equal.

    Args:
        request: As it came.
        model: The model that it names.
        max_image_bytes: Size limit of the encoded picture.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    _check_image(request.image, max_image_bytes)
    filled = v1.AnalyzeRequest()
    filled.CopyFrom(request)
    filled.version = model.version
    if not filled.explanations and not any(filled.HasField(part) for part in _SINGLE_PARTS):
        raise InvalidRequestError("ask for at least one of prediction, explanations, robustness, bias and certified")
    if filled.HasField("prediction"):
        _fill_prediction(filled.prediction, model)
    check_explanations(len(filled.explanations))
    for index, options in enumerate(filled.explanations):
        fill_explanation(options, model, f"explanations[{index}]")
    if filled.HasField("robustness"):
        fill_robustness(filled.robustness, model)
    if filled.HasField("bias"):
        _check_bias(filled.bias)
    if filled.HasField("certified"):
        fill_certified(filled.certified)
    return filled


def check_explanations(number: int) -> None:
    """Raises InvalidRequestError where so many are too many for one request."""
    if number > MAX_EXPLANATIONS:
        message = f"{number} explanations are too many for one request; ask for {MAX_EXPLANATIONS}"
        raise InvalidRequestError(message, field="explanations")


def _check_image(image: bytes, limit: int) -> None:
    if not image:
        raise PictureError("there is no picture; send the bytes of a JPEG, PNG, WebP or GIF file", field="image")
    if len(image) > limit:
        message = (
            f"the picture has {len(image):,} bytes, at most {limit:,} are taken; scale it down or compress it more"
        )
        raise PictureTooLargeError(message, field="image")


def _fill_prediction(options: v1.PredictionOptions, model: v1.Model) -> None:
    if not options.HasField("top_k"):
        options.top_k = min(_DEFAULT_TOP_K, model.num_classes)
    check_range("prediction.top_k", options.top_k, 1, model.num_classes)


def _check_bias(options: v1.BiasOptions) -> None:
    field = "bias.attributes"
    if len(options.attributes) > MAX_ATTRIBUTES:
        message = f"{len(options.attributes)} attributes are too many for one request; ask for {MAX_ATTRIBUTES}"
        raise InvalidRequestError(message, field=field)
    for attribute in options.attributes:
        if not 1 <= len(attribute) <= MAX_ATTRIBUTE_LENGTH:
            raise InvalidRequestError(f"an attribute has 1 to {MAX_ATTRIBUTE_LENGTH} characters", field=field)
    check_distinct(field, options.attributes)
