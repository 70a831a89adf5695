"""Semantic checks of a request against the model that shall answer it, and its defaults.

Everything that can be wrong with a request is refused here, before it waits in any queue, except for the picture
itself, which is read where it is decoded.
"""

from collections.abc import Collection, Iterable

from whybox import v1
from whybox.v1.errors import InvalidRequestError, PictureError, PictureTooLargeError

BUDGETS = {"fast": 6, "standard": 12, "thorough": 100}
"""Gradient evaluations per norm, by the name of the budget."""

MAX_BUDGET = 1000
MAX_EXPLANATIONS = 16
MAX_STEPS = 500
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_LENGTH = 100
DTYPES = ("float32", "float16", "uint8")
CHANNELS = ("sum", "none")

_DEFAULT_TOP_K = 5
_DEFAULT_BUDGET = "standard"
_MAX_QUOTED = 60


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
    if not (
        filled.HasField("prediction") or filled.explanations or filled.HasField("robustness") or filled.HasField("bias")
    ):
        raise InvalidRequestError("ask for at least one of prediction, explanations, robustness and bias")
    if filled.HasField("prediction"):
        _fill_prediction(filled.prediction, model)
    if len(filled.explanations) > MAX_EXPLANATIONS:
        message = f"{len(filled.explanations)} explanations are too many for one request; ask for {MAX_EXPLANATIONS}"
        raise InvalidRequestError(message, field="explanations")
    for index, options in enumerate(filled.explanations):
        _fill_explanation(options, model, f"explanations[{index}]")
    if filled.HasField("robustness"):
        _fill_robustness(filled.robustness, model)
    if filled.HasField("bias"):
        _check_bias(filled.bias)
    return filled


def quoted(text: str) -> str:
    """What a caller sent, for a message; shortened, because messages travel in headers."""
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")


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
    _check_range("prediction.top_k", options.top_k, 1, model.num_classes)


def _fill_explanation(options: v1.ExplanationOptions, model: v1.Model, field: str) -> None:
    methods = {method.name: method for method in model.methods}
    _check_known(f"{field}.method", options.method, methods)
    if options.HasField("target_class"):
        _check_range(f"{field}.target_class", options.target_class, 0, model.num_classes - 1)
    defaults = methods[options.method].options
    if "steps" in defaults:
        if not options.HasField("steps"):
            options.steps = defaults["steps"]
        _check_range(f"{field}.steps", options.steps, 1, MAX_STEPS)
    elif options.HasField("steps"):
        raise InvalidRequestError(f"{options.method} takes no steps; leave them out", field=f"{field}.steps")
    options.dtype = options.dtype or DTYPES[0]
    _check_known(f"{field}.dtype", options.dtype, DTYPES)
    options.channels = options.channels or CHANNELS[0]
    _check_known(f"{field}.channels", options.channels, CHANNELS)


def _fill_robustness(options: v1.RobustnessOptions, model: v1.Model) -> None:
    if not options.norms:
        options.norms.append(model.norms[0])
    for norm in options.norms:
        _check_known("robustness.norms", norm, model.norms)
    _check_distinct("robustness.norms", options.norms)
    budget = options.budget or _DEFAULT_BUDGET
    evaluations = BUDGETS.get(budget)
    if evaluations is None:
        if not (budget.isascii() and budget.isdigit() and len(budget) < 10 and 1 <= int(budget) <= MAX_BUDGET):
            remedy = f"use one of {', '.join(BUDGETS)}, or 1 to {MAX_BUDGET} evaluations"
            raise InvalidRequestError(f"{quoted(budget)} is no budget; {remedy}", field="robustness.budget")
        evaluations = int(budget)
    options.budget = str(evaluations)


def _check_bias(options: v1.BiasOptions) -> None:
    field = "bias.attributes"
    if len(options.attributes) > MAX_ATTRIBUTES:
        message = f"{len(options.attributes)} attributes are too many for one request; ask for {MAX_ATTRIBUTES}"
        raise InvalidRequestError(message, field=field)
    for attribute in options.attributes:
        if not 1 <= len(attribute) <= MAX_ATTRIBUTE_LENGTH:
            raise InvalidRequestError(f"an attribute has 1 to {MAX_ATTRIBUTE_LENGTH} characters", field=field)
    _check_distinct(field, options.attributes)


def _check_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidRequestError(f"{field} is {value}; it must be {low} to {high}", field=field)


def _check_known(field: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise InvalidRequestError(f"{field}: {quoted(value)} is not known; use one of {', '.join(known)}", field=field)


def _check_distinct(field: str, values: Collection[str]) -> None:
    if len(set(values)) < len(values):
        raise InvalidRequestError(f"{field} names something twice; name each once", field=field)
