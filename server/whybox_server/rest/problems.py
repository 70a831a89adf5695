"""Errors as RFC 9457 problem details."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from whybox.v1.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PictureTooLargeError,
    QuotaExceededError,
    UnauthenticatedError,
    UnavailableError,
    WhyboxError,
)

MEDIA_TYPE = "application/problem+json"
ENCODINGS = ("gzip", "deflate")
"""What a body may be compressed with."""


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body's Content-Type is none that a picture can come in."""

    default_reason = "UNSUPPORTED_MEDIA_TYPE"


class UnsupportedEncodingError(UnsupportedMediaTypeError):
    """The body's Content-Encoding is none that is unpacked."""

    default_reason = "UNSUPPORTED_ENCODING"


class BodyTooLargeError(InvalidRequestError):
    """The form or the JSON, all in all, has more bytes than any right request needs."""

    default_reason = "BODY_TOO_LARGE"


class IncompleteBodyError(InvalidRequestError):
    """The body ended before all of it had come."""

    default_reason = "INCOMPLETE_BODY"


class RequestTimeoutError(InvalidRequestError):
    """The request stopped coming before it was complete."""

    default_reason = "REQUEST_TIMEOUT"


class MethodNotAllowedError(InvalidRequestError):
    """The path exists, but not for this method."""

    default_reason = "METHOD_NOT_ALLOWED"


class NotAcceptableError(InvalidRequestError):
    """The path has an answer, but of no kind that Accept takes."""

    default_reason = "NOT_ACCEPTABLE"


class UnknownPathError(NotFoundError):
    """Nothing lives at this path."""

    default_reason = "UNKNOWN_PATH"


# The nearest class of an error's ancestry decides.
STATUSES: Mapping[type[WhyboxError], int] = {
    InvalidRequestError: 400,
    UnauthenticatedError: 401,
    PermissionDeniedError: 403,
    NotFoundError: 404,
    MethodNotAllowedError: 405,
    NotAcceptableError: 406,
    RequestTimeoutError: 408,
    FailedPreconditionError: 409,
    BodyTooLargeError: 413,
    PictureTooLargeError: 413,
    UnsupportedMediaTypeError: 415,
    QuotaExceededError: 429,
    CancelledError: 499,
    WhyboxError: 500,
    UnavailableError: 503,
    DeadlineExceededError: 504,
}


def http_status(kind: type[WhyboxError]) -> int:
    """The HTTP status that stands for a class of errors."""
    return next(STATUSES[ancestor] for ancestor in kind.__mro__ if ancestor in STATUSES)


def title(kind: type[WhyboxError]) -> str:
    """What a class of errors is called, for example "Picture too large"."""
    return kind.default_reason.replace("_", " ").capitalize()


def problem(error: WhyboxError, request_id: str) -> dict[str, Any]:
    """The problem details object for an error."""
    details: dict[str, Any] = {
        "type": "urn:whybox:error:" + error.reason.lower().replace("_", "-"),
        "title": title(type(error)),
        "status": http_status(type(error)),
        "detail": error.message,
        "code": error.code_name,
        "reason": error.reason,
        "request_id": request_id,
    }
    if error.field is not None:
        details["errors"] = [{"field": error.field, "detail": error.message}]
    if error.retry_after is not None:
        details["retry_after"] = error.retry_after
    if error.missing:
        details["missing"] = list(error.missing)
    return details


def problem_response(error: WhyboxError, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed.

    Args:
        error: Why it failed.
        request_id: Id of the request.
        headers: Further headers of the answer.
    """
    details = problem(error, request_id)
    # ASCII, because a message may quote what was sent, and JSON can carry half of a surrogate pair.
    return Response(json.dumps(details), details["status"], headers_of(error, headers), MEDIA_TYPE)


def headers_of(error: WhyboxError, headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """The headers of the answer to a request that failed, beside those that are given."""
    all_headers = dict(headers or {})
    if error.retry_after is not None:
        all_headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, UnauthenticatedError):
        all_headers.setdefault("WWW-Authenticate", 'Bearer realm="whybox"')
    if isinstance(error, UnsupportedEncodingError):
        all_headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    return all_headers
