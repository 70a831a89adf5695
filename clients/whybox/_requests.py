"""From the arguments of `Client` to the requests of `whybox.v1`."""

import math
import re
import uuid
from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias, get_args

from whybox._transport import MAX_MESSAGE_BYTES
from whybox.v1 import (
    AnalyzeRequest,
    BiasOptions,
    ExplanationOptions,
    PredictionOptions,
    RobustnessOptions,
)
from whybox.v1.errors import PictureTooLargeError

Part: TypeAlias = Literal["prediction", "explanations", "robustness", "bias"]
ALL_PARTS: tuple[Part, ...] = get_args(Part)

_TAKES_STEPS = frozenset({"integrated_gradients"})
# What the server takes over; it would replace any other id without a word.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def analysis_request(
    picture: bytes,
    *,
    parts: Collection[Part] | Part,
    top_k: int,
    methods: Iterable[str] | str,
    target_class: int | None,
    steps: int | None,
    dtype: str,
    channels: str,
    norms: Iterable[str] | str,
    budget: str | int,
    attributes: Iterable[str] | str,
) -> AnalyzeRequest:
    """The request for the wanted parts, to a model yet to be named; see `Client.analyze` for the arguments.

    Raises:
        ValueError: `parts` names no part, or one that there is not; no method; `steps` for methods without steps.
        PictureTooLargeError: The picture has more bytes than a message may have.
    """
    wanted = set(_names(parts))
    if not wanted or not wanted <= set(ALL_PARTS):
        raise ValueError(f"parts must be some of {', '.join(ALL_PARTS)}, not {parts!r}")
    chosen = _names(methods)
    if "explanations" in wanted and not chosen:
        raise ValueError("methods must name at least one method; leave explanations out of parts for none")
    if steps is not None and "explanations" in wanted and not _TAKES_STEPS.intersection(chosen):
        raise ValueError(f"steps is for {', '.join(_TAKES_STEPS)}; leave it out for other methods")
    request = AnalyzeRequest(image=picture)
    if "prediction" in wanted:
        request.prediction.CopyFrom(PredictionOptions(top_k=top_k))
    if "explanations" in wanted:
        for method in chosen:
            request.explanations.add().CopyFrom(
                ExplanationOptions(
                    method=method,
                    target_class=target_class,
                    steps=steps if method in _TAKES_STEPS else None,
                    dtype=dtype,
                    channels=channels,
                )
            )
    if "robustness" in wanted:
        request.robustness.CopyFrom(RobustnessOptions(norms=_names(norms), budget=str(budget)))
    if "bias" in wanted:
        request.bias.CopyFrom(BiasOptions(attributes=_names(attributes)))
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        raise PictureTooLargeError(
            f"The picture has {len(picture) / 2**20:.1f} MiB; at most {MAX_MESSAGE_BYTES >> 20} MiB can be sent.",
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


def _names(names: Iterable[str] | str) -> tuple[str, ...]:
    # A single name is a string, whose letters would otherwise count as names.
    return (names,) if isinstance(names, str) else tuple(names)
