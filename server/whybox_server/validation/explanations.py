"""What can be asked of explanations."""

import itertools
from collections.abc import Collection
from typing import Literal

from whybox import v1
from whybox.v1.errors import FailedPreconditionError, InvalidRequestError, PictureTooLargeError
from whybox.v1.vocabulary import (
    ALL,
    BASELINES,
    CHANNELS,
    DEFAULT_METHOD,
    ENCODINGS,
    MAX_EXAMPLES,
    MEASUREMENTS,
    NUMBERS,
)
from whybox_server.validation.checks import did_you_mean, quoted
from whybox_server.validation.kinds import BOOLEAN, CLASS, PICTURE, TEXT, Kind, class_of, integer, name_of, number
from whybox_server.validation.options import Given, Option, PartOptions, check_kind, write_class, write_options

MAX_EXPLANATIONS = 16
MAX_EVALUATIONS = 10_000
MAX_BASELINE_BYTES = 2**20
DEFAULT_EXAMPLES = 3

_Index = Literal["target_class", "contrast_class"]
_Label = Literal["target_label", "contrast_label"]
_CLASSES: tuple[tuple[_Index, _Label], ...] = (
    ("target_class", "target_label"),
    ("contrast_class", "contrast_label"),
)
# Each of these makes a map of its own; the others are for all maps.
_PER_MAP = ("method", "target_class")


def _class_of(model: v1.Model) -> Kind:
    return class_of(integer(0, model.num_classes - 1))


def _makes_map(method: v1.Method) -> bool:
    return not method.gives_examples


def _quoted(names: Collection[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class ExplanationOptions(PartOptions):
    """Which pixels or regions spoke for a class. A request has one message per map, at most `MAX_EXPLANATIONS`."""

    part = "explanations"
    options = (
        Option[v1.Method](
            "method",
            TEXT,
            f"Method to explain with, one of the model's `methods`; one map for each. Default: {DEFAULT_METHOD}.",
            repeatable=True,
        ),
        Option[v1.Method](
            "target_class",
            CLASS,
            "Index or name of the class to explain; one map for each. Default: the predicted class.",
            repeatable=True,
            ranged=_class_of,
        ),
        Option[v1.Method](
            "contrast_class",
            CLASS,
            "Index or name of another class: the map then tells why the target rather than this class.",
            ranged=_class_of,
        ),
        Option[v1.Method](
            "baseline",
            name_of(BASELINES),
            'What stands for "nothing there": "black", "grey", "blur" or "mean" (of the maps for these three). '
            "Default: the method's `default_baseline`.",
            default=lambda method: method.default_baseline,
            taken=lambda method: "baseline" in method.options,
        ),
        Option[v1.Method](
            "baseline_image",
            PICTURE,
            "A baseline of your own in place of a named one: a picture of the model's view.",
            taken=lambda method: "baseline" in method.options,
        ),
        Option[v1.Method](
            "max_evaluations",
            integer(1, MAX_EVALUATIONS),
            "The most that each method may spend, in the evaluations that it counts. Default: the method's "
            "`default_evaluations`.",
            narrow=lambda method: integer(method.min_evaluations, MAX_EVALUATIONS),
            default=lambda method: method.default_evaluations,
            taken=lambda method: "max_evaluations" in method.options,
        ),
        Option[v1.Method](
            "tolerance",
            number(low=0, high=1),
            "Methods stop when their `residual` is at most this; 0 spends all of max_evaluations. Default: the "
            "method's `default_tolerance`.",
            default=lambda method: method.default_tolerance,
            taken=lambda method: "tolerance" in method.options,
        ),
        Option[v1.Method](
            "encoding",
            name_of(ENCODINGS),
            f'How maps travel: at most one of {_quoted(NUMBERS)}, and any of "heat_map", "overlay" and "regions". '
            f'Default: "{NUMBERS[0]}".',
            field="encodings",
            repeatable=True,
            default=lambda _: NUMBERS[:1],
            taken=_makes_map,
        ),
        Option[v1.Method](
            "channels",
            name_of(CHANNELS),
            '"sum": one value per pixel. "none": one per pixel and colour channel. Default: "sum".',
            default=lambda _: CHANNELS[0],
            taken=_makes_map,
        ),
        Option[v1.Method](
            "quality",
            name_of((*MEASUREMENTS, ALL)),
            f'What to measure of each map: some of {_quoted(MEASUREMENTS)}, or "{ALL}" alone. Default: nothing.',
            repeatable=True,
            taken=_makes_map,
        ),
        Option[v1.Method](
            "examples",
            integer(1, MAX_EXAMPLES),
            f"For a method that gives examples: the most pictures of each kind. Default: {DEFAULT_EXAMPLES}.",
            default=lambda _: DEFAULT_EXAMPLES,
            taken=lambda method: "examples" in method.options,
        ),
        Option[v1.Method](
            "thumbnails",
            BOOLEAN,
            "For a method that gives examples: whether each picture comes with its thumbnail. Default: false.",
            taken=lambda method: "thumbnails" in method.options,
        ),
    )

    def write(self, request: v1.AnalyzeRequest, given: Given) -> None:
        """One map for each method and each class; every other option is for all of them."""
        methods, targets = given.get("method", (DEFAULT_METHOD,)), given.get("target_class", (None,))
        # Here already: a small body can name more of them than memory holds.
        _check_number(len(methods) * len(targets))
        common = [option for option in self.options if option.name not in _PER_MAP]
        for method, target in itertools.product(methods, targets):
            options = request.explanations.add(method=method)
            if target is not None:
                write_class(options, "target_class", target)
            write_options(options, common, given)

    def fill(self, request: v1.AnalyzeRequest, model: v1.Model) -> None:
        """See `PartOptions.fill`."""
        _check_number(len(request.explanations))
        for index, options in enumerate(request.explanations):
            fill_explanation(options, model, f"explanations[{index}]")

    def check_possible(
        self,
        request: v1.AnalyzeRequest,
        model: v1.Model,
        others: Collection[v1.Model],  # noqa: ARG002 (maps need no other model)
    ) -> None:
        """See `PartOptions.check_possible`; the maps of one unit of work have one method."""
        for options in request.explanations:
            check_available(options.method, model, "explanations")
            if options.thumbnails and not model.audit.references.thumbnails:
                message = (
                    f"the bank of {model.name} is packed without thumbnails; leave thumbnails out, or pack it again "
                    "without --no-thumbnails"
                )
                raise FailedPreconditionError(message, reason="NO_THUMBNAILS", field="explanations.thumbnails")


def fill_explanation(options: v1.ExplanationOptions, model: v1.Model, place: str) -> None:
    """Checks the options of one map and fills in their defaults.

    Args:
        options: As they came.
        model: The model that they are for.
        place: Where they stand in the request, for errors.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    methods = {method.name: method for method in model.methods}
    check_kind(f"{place}.method", options.method, name_of(methods))
    method = methods[options.method]
    _fill_classes(options, model, place)
    if options.HasField("contrast_class") and method.gives_examples:
        message = f"{method.name} takes no contrast_class; leave it out"
        raise InvalidRequestError(message, field=f"{place}.contrast_class")
    _check_baseline_image(options, place)
    for option in ExplanationOptions.options:
        if option.name not in ("method", "target_class", "contrast_class"):
            option.fill(options, method, place)
    if options.baseline_image:
        options.ClearField("baseline")
    _check_encodings(options, place)
    _fill_quality(options, place)


def check_available(method: str, model: v1.Model, field: str) -> None:
    """Raises FailedPreconditionError, with what can be done instead, where the model cannot be explained so."""
    for offered in model.methods:
        if offered.name == method and offered.unavailable:
            message = f"{model.name} cannot be explained with {method}: {offered.unavailable}"
            raise FailedPreconditionError(message, reason="METHOD_UNAVAILABLE", field=field)


def _check_number(maps: int) -> None:
    if maps > MAX_EXPLANATIONS:
        message = f"the request asks for {maps} explanations; ask for at most {MAX_EXPLANATIONS}"
        raise InvalidRequestError(message, field="explanations")


def _fill_classes(options: v1.ExplanationOptions, model: v1.Model, place: str) -> None:
    """Classes by index instead of by name."""
    for index, label in _CLASSES:
        if name := getattr(options, label):
            if options.HasField(index):
                raise InvalidRequestError(f"give {index} or {label}, not both", field=f"{place}.{label}")
            setattr(options, index, _class_called(name, model, f"{place}.{label}", index))
            options.ClearField(label)
        if options.HasField(index):
            check_kind(f"{place}.{index}", getattr(options, index), integer(0, model.num_classes - 1))
    both = options.HasField("contrast_class") and options.HasField("target_class")
    if both and options.contrast_class == options.target_class:
        message = f"{place}.contrast_class is the target itself; name another class"
        raise InvalidRequestError(message, field=f"{place}.contrast_class")


def _class_called(name: str, model: v1.Model, field: str, index: str) -> int:
    found = [number for number, label in enumerate(model.labels) if label == name]
    if len(found) > 1:
        numbers = " and ".join(map(str, found))
        raise InvalidRequestError(f"{quoted(name)} names the classes {numbers}; use {index}", field=field)
    if not found:
        remedy = did_you_mean(name, model.labels) or "GetModel lists them"
        raise InvalidRequestError(f"{model.name} has no class {quoted(name)}; {remedy}", field=field)
    return found[0]


def _check_baseline_image(options: v1.ExplanationOptions, place: str) -> None:
    if options.baseline_image and options.baseline:
        raise InvalidRequestError("give baseline or baseline_image, not both", field=f"{place}.baseline")
    if len(options.baseline_image) > MAX_BASELINE_BYTES:
        message = f"the baseline has {len(options.baseline_image):,} bytes; at most {MAX_BASELINE_BYTES:,} are taken"
        raise PictureTooLargeError(message, field=f"{place}.baseline_image")


def _check_encodings(options: v1.ExplanationOptions, place: str) -> None:
    numbers = [encoding for encoding in options.encodings if encoding in NUMBERS]
    if len(numbers) > 1:
        message = f"a map's numbers travel in one encoding; choose one of {', '.join(numbers)}"
        raise InvalidRequestError(message, field=f"{place}.encodings")


def _fill_quality(options: v1.ExplanationOptions, place: str) -> None:
    if list(options.quality) == [ALL]:
        options.quality[:] = MEASUREMENTS
    elif ALL in options.quality:
        raise InvalidRequestError(f"{ALL!r} stands alone; leave the others out", field=f"{place}.quality")
