"""From the arguments of `Client` to the requests of `whybox.v1`."""

import math
import operator
import re
import uuid
from collections.abc import Iterable
from typing import Any

from whybox._messages import pictures as _pictures
from whybox._transports.transport import MAX_MESSAGE_BYTES
from whybox.options import (
    ALL_MEASUREMENTS,
    ALL_PARTS,
    DEFAULT_PARTS,
    AnalyzeOptions,
    AttackOptions,
    MapOptions,
    SmoothingOptions,
)
from whybox.v1 import (
    AnalyzeRequest,
    BiasOptions,
    CertifiedOptions,
    ExplanationOptions,
    PredictionOptions,
    RobustnessOptions,
)
from whybox.v1.errors import PictureTooLargeError

# Which part each option is for; those of all parts are not named.
_PART_OF = (
    {"top_k": "prediction", "attributes": "bias"}
    | dict.fromkeys(("methods", *MapOptions.__annotations__), "explanations")
    | dict.fromkeys(AttackOptions.__annotations__, "robustness")
    | dict.fromkeys(SmoothingOptions.__annotations__, "certified")
)
# What the server takes over; it would replace any other id without a word.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def analysis_request(picture: bytes, options: AnalyzeOptions) -> AnalyzeRequest:
    """The request for the wanted parts, to a model yet to be named; options that were not given stay absent.

    Raises:
        TypeError: `target` or `contrast` is neither an index nor a label; see `encode` for `baseline`.
        ValueError: `parts` names no part, or one that there is not; an option is for a part that is not among them; no
            method or target; a certificate without `sigma`; a number that the contract cannot hold.
        OSError: The picture in `baseline` cannot be read.
        PictureTooLargeError: The pictures have more bytes than a message may have.
    """
    wanted = _wanted_parts(options)
    request = AnalyzeRequest(image=picture)
    if "prediction" in wanted:
        request.prediction.CopyFrom(PredictionOptions(top_k=options.get("top_k")))
    if "explanations" in wanted:
        methods = options.get("methods")
        request.explanations.extend(_maps(("grad_cam",) if methods is None else _names(methods), options))
    if "robustness" in wanted:
        request.robustness.CopyFrom(_attack(options))
    if "bias" in wanted:
        request.bias.CopyFrom(BiasOptions(attributes=_names(options.get("attributes"))))
    if "certified" in wanted:
        request.certified.CopyFrom(_smoothing(options))
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        raise PictureTooLargeError(
            f"The request has {request.ByteSize() / 2**20:.1f} MiB; at most {MAX_MESSAGE_BYTES >> 20} MiB can be sent.",
            field="image",
        )
    return request


def checked_request_id(request_id: str | None) -> str:
    """The caller's request id, or a new one.

    Raises:
        ValueError: It is not 1 to 128 letters, digits, dots, underscores or hyphens.
    """
    if request_id is None:
        return uuid.uuid4().hex
    if not _REQUEST_ID.fullmatch(request_id):
        raise ValueError(f"request_id must be 1 to 128 characters of A-Z a-z 0-9 . _ -, not {request_id!r}")
    return request_id


def checked_timeout(timeout: float) -> float:
    """The seconds that a call may take.

    Raises:
        ValueError: They are not positive and finite.
    """
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    return timeout


def _wanted_parts(options: AnalyzeOptions) -> set[str]:
    parts = options.get("parts")
    wanted = set(_names(parts))
    if parts is None:
        # Who names an option of a certificate wants one.
        given = {option for option, value in options.items() if value is not None}
        wanted = set(ALL_PARTS if given & SmoothingOptions.__annotations__.keys() else DEFAULT_PARTS)
    if not wanted or not wanted <= set(ALL_PARTS):
        raise ValueError(f"parts must be some of {', '.join(ALL_PARTS)}, not {parts!r}")
    for option, value in options.items():
        part = _PART_OF.get(option)
        if part is not None and value is not None and part not in wanted:
            raise ValueError(f"{option} is for {part}; add that to parts, or leave {option} out")
    return wanted


def _maps(methods: tuple[str, ...], options: MapOptions) -> list[ExplanationOptions]:
    """One entry per method and target; the maps of one method stand together."""
    if not methods:
        raise ValueError("methods must name at least one method; leave explanations out of parts for none")
    target = options.get("target")
    targets = target if isinstance(target, Iterable) and not isinstance(target, str) else (target,)
    classes = [_class("target", target) for target in targets]
    if not classes:
        raise ValueError("target must name at least one class; leave it out for the predicted class")
    common = ExplanationOptions(
        **_class("contrast", options.get("contrast")),
        **_baseline(options),
        max_evaluations=options.get("max_evaluations"),
        tolerance=options.get("tolerance"),
        encodings=_names(options.get("encodings")),
        channels=options.get("channels") or "",
        quality=_measurements(options),
    )
    maps = [ExplanationOptions(method=method, **chosen) for method in methods for chosen in classes]
    for one in maps:
        one.MergeFrom(common)
    return maps


def _attack(options: AttackOptions) -> RobustnessOptions:
    budget = options.get("budget")
    return RobustnessOptions(
        norms=_names(options.get("norms")),
        budget="" if budget is None else str(budget),
        attack=options.get("attack") or "",
        encodings=_names(options.get("pictures")),
        transfer=options.get("transfer") or False,
        twin=options.get("twin") or "",
        corruptions=_names(options.get("corruptions")),
    )


def _smoothing(options: SmoothingOptions) -> CertifiedOptions:
    if options.get("sigma") is None:
        raise ValueError("certified needs sigma, the standard deviation of the noise; there is no default")
    return CertifiedOptions(sigma=options["sigma"], samples=options.get("samples"), alpha=options.get("alpha"))


def _class(option: str, chosen: int | str | None) -> dict[str, Any]:
    """The fields that name a class, by its index or by its label."""
    if chosen is None:
        return {}
    if isinstance(chosen, str):
        # On the wire an empty label is none.
        if not chosen:
            raise ValueError(f"{option} must be a class's index or label, not an empty label")
        return {f"{option}_label": chosen}
    try:
        return {f"{option}_class": operator.index(chosen)}
    except TypeError as error:
        raise TypeError(f"{option} must be a class's index or label, not {chosen!r}") from error


def _baseline(options: MapOptions) -> dict[str, Any]:
    baseline = options.get("baseline")
    if baseline is None or isinstance(baseline, str):
        return {"baseline": baseline or ""}
    return {"baseline_image": _pictures.encode(baseline, "baseline")}


def _measurements(options: MapOptions) -> tuple[str, ...]:
    chosen = _names(options.get("quality"))
    return ALL_MEASUREMENTS if "all" in chosen else chosen


def _names(names: Iterable[str] | str | None) -> tuple[str, ...]:
    # A single name is a string, whose letters would otherwise count as names.
    return (names,) if isinstance(names, str) else tuple(names or ())
