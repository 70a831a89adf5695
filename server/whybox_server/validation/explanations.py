"""Checks and defaults of one explanation's options, against the manifest of the model that shall answer."""

import difflib
from typing import Literal

from whybox import v1
from whybox.v1.errors import InvalidRequestError, PictureTooLargeError
from whybox_server.validation.checks import (
    check_distinct,
    check_known,
    check_range,
    quoted,
)

MAX_EVALUATIONS = 10_000
MAX_BASELINE_BYTES = 2**20
BASELINES = ("black", "grey", "blur", "mean")
DTYPES = ("uint8", "float16", "float32")
PICTURES = ("heat_map", "overlay", "regions")
ENCODINGS = DTYPES + PICTURES
CHANNELS = ("sum", "none")
QUALITY = ("deletion", "insertion", "infidelity", "sensitivity", "stability")
ALL_QUALITY = "all"

# Longer names are cut before they are compared with the labels, which takes time.
_COMPARED = 100

_Index = Literal["target_class", "contrast_class"]
_Label = Literal["target_label", "contrast_label"]
_CLASSES: tuple[tuple[_Index, _Label], ...] = (
    ("target_class", "target_label"),
    ("contrast_class", "contrast_label"),
)


def fill_explanation(options: v1.ExplanationOptions, model: v1.Model, field: str) -> None:
    """Fills in the defaults.

    Args:
        options: As they came.
        model: The model that they are for.
        field: Where they stand in the request, for errors.

    Raises:
        InvalidRequestError: Names the field and what would be right.
    """
    methods = {method.name: method for method in model.methods}
    check_known(f"{field}.method", options.method, methods)
    method = methods[options.method]
    _check_taken(options, method, field)
    _fill_classes(options, model, field)
    _fill_baseline(options, method, field)
    if "max_evaluations" in method.options:
        if not options.HasField("max_evaluations"):
            options.max_evaluations = method.default_evaluations
        check_range(f"{field}.max_evaluations", options.max_evaluations, method.min_evaluations, MAX_EVALUATIONS)
    if "tolerance" in method.options:
        if not options.HasField("tolerance"):
            options.tolerance = method.default_tolerance
        check_range(f"{field}.tolerance", options.tolerance, 0, 1)
    _fill_encodings(options, field)
    options.channels = options.channels or CHANNELS[0]
    check_known(f"{field}.channels", options.channels, CHANNELS)
    if list(options.quality) == [ALL_QUALITY]:
        options.quality[:] = QUALITY
    for name in options.quality:
        check_known(f"{field}.quality", name, (*QUALITY, ALL_QUALITY))
    if ALL_QUALITY in options.quality:
        raise InvalidRequestError(f"{ALL_QUALITY!r} stands alone; leave the others out", field=f"{field}.quality")
    check_distinct(f"{field}.quality", options.quality)


def _check_taken(options: v1.ExplanationOptions, method: v1.Method, field: str) -> None:
    given = {
        "baseline": bool(options.baseline),
        "baseline_image": bool(options.baseline_image),
        "max_evaluations": options.HasField("max_evaluations"),
        "tolerance": options.HasField("tolerance"),
    }
    for name in (name for name, is_given in given.items() if is_given):
        if name.removesuffix("_image") not in method.options:
            raise InvalidRequestError(f"{options.method} takes no {name}; leave it out", field=f"{field}.{name}")


def _fill_classes(options: v1.ExplanationOptions, model: v1.Model, field: str) -> None:
    """Classes by index instead of by name."""
    for index, label in _CLASSES:
        if name := getattr(options, label):
            if options.HasField(index):
                raise InvalidRequestError(f"give {index} or {label}, not both", field=f"{field}.{label}")
            setattr(options, index, _class_called(name, model, f"{field}.{label}", index))
            options.ClearField(label)
        if options.HasField(index):
            check_range(f"{field}.{index}", getattr(options, index), 0, model.num_classes - 1)
    both = options.HasField("contrast_class") and options.HasField("target_class")
    if both and options.contrast_class == options.target_class:
        message = f"{field}.contrast_class is the target itself; name another class"
        raise InvalidRequestError(message, field=f"{field}.contrast_class")


def _class_called(name: str, model: v1.Model, field: str, index: str) -> int:
    found = [number for number, label in enumerate(model.labels) if label == name]
    if len(found) > 1:
        numbers = " and ".join(map(str, found))
        raise InvalidRequestError(f"{quoted(name)} names the classes {numbers}; use {index}", field=field)
    if not found:
        near = difflib.get_close_matches(name[:_COMPARED], model.labels, n=3)
        remedy = f"did you mean {', '.join(map(repr, near))}?" if near else "GetModel lists them"
        raise InvalidRequestError(f"{model.name} has no class {quoted(name)}; {remedy}", field=field)
    return found[0]


def _fill_baseline(options: v1.ExplanationOptions, method: v1.Method, field: str) -> None:
    if options.baseline_image:
        if options.baseline:
            raise InvalidRequestError("give baseline or baseline_image, not both", field=f"{field}.baseline")
        if len(options.baseline_image) > MAX_BASELINE_BYTES:
            message = (
                f"the baseline has {len(options.baseline_image):,} bytes, at most {MAX_BASELINE_BYTES:,} are taken"
            )
            raise PictureTooLargeError(message, field=f"{field}.baseline_image")
        return
    options.baseline = options.baseline or method.default_baseline
    if options.baseline:
        check_known(f"{field}.baseline", options.baseline, BASELINES)


def _fill_encodings(options: v1.ExplanationOptions, field: str) -> None:
    field += ".encodings"
    if not options.encodings:
        options.encodings.append(DTYPES[0])
    for encoding in options.encodings:
        check_known(field, encoding, ENCODINGS)
    check_distinct(field, options.encodings)
    numbers = [encoding for encoding in options.encodings if encoding in DTYPES]
    if len(numbers) > 1:
        raise InvalidRequestError(f"numbers travel in one way; choose one of {', '.join(numbers)}", field=field)
