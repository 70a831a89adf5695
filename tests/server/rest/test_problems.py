"""Errors as problem documents of RFC 9457."""

import pytest

from whybox.v1 import errors
from whybox_server.rest import problems


@pytest.mark.parametrize(
    ("error", "status", "code", "reason", "title"),
    [
        (errors.InvalidRequestError("m"), 400, "INVALID_ARGUMENT", "INVALID_REQUEST", "Invalid request"),
        (errors.PictureError("m"), 400, "INVALID_ARGUMENT", "BAD_PICTURE", "Bad picture"),
        (errors.PictureTooLargeError("m"), 413, "INVALID_ARGUMENT", "PICTURE_TOO_LARGE", "Picture too large"),
        (problems.BodyTooLargeError("m"), 413, "INVALID_ARGUMENT", "BODY_TOO_LARGE", "Body too large"),
        (
            problems.UnsupportedMediaTypeError("m"),
            415,
            "INVALID_ARGUMENT",
            "UNSUPPORTED_MEDIA_TYPE",
            "Unsupported media type",
        ),
        (
            problems.UnsupportedEncodingError("m"),
            415,
            "INVALID_ARGUMENT",
            "UNSUPPORTED_ENCODING",
            "Unsupported encoding",
        ),
        (problems.IncompleteBodyError("m"), 400, "INVALID_ARGUMENT", "INCOMPLETE_BODY", "Incomplete body"),
        (problems.RequestTimeoutError("m"), 408, "INVALID_ARGUMENT", "REQUEST_TIMEOUT", "Request timeout"),
        (problems.MethodNotAllowedError("m"), 405, "INVALID_ARGUMENT", "METHOD_NOT_ALLOWED", "Method not allowed"),
        (problems.NotAcceptableError("m"), 406, "INVALID_ARGUMENT", "NOT_ACCEPTABLE", "Not acceptable"),
        (problems.UnknownPathError("m"), 404, "NOT_FOUND", "UNKNOWN_PATH", "Unknown path"),
        (errors.NotFoundError("m"), 404, "NOT_FOUND", "NOT_FOUND", "Not found"),
        (
            errors.FailedPreconditionError("m"),
            409,
            "FAILED_PRECONDITION",
            "FAILED_PRECONDITION",
            "Failed precondition",
        ),
        (errors.QuotaExceededError("m"), 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded"),
        (errors.CancelledError("m"), 499, "CANCELLED", "CANCELLED", "Cancelled"),
        (errors.InternalError("m"), 500, "INTERNAL", "INTERNAL", "Internal"),
        (errors.UnavailableError("m"), 503, "UNAVAILABLE", "UNAVAILABLE", "Unavailable"),
        (errors.OverloadedError("m"), 503, "UNAVAILABLE", "QUEUE_FULL", "Queue full"),
        (errors.DeadlineExceededError("m"), 504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "Deadline exceeded"),
        (errors.WhyboxError("m"), 500, "UNKNOWN", "UNKNOWN", "Unknown"),
    ],
)
def test_every_error_has_its_problem(error, status, code, reason, title):
    assert problems.problem(error, "id-1") == {
        "type": "urn:whybox:error:" + reason.lower().replace("_", "-"),
        "title": title,
        "status": status,
        "detail": "m",
        "code": code,
        "reason": reason,
        "request_id": "id-1",
    }


def test_a_field_and_a_delay_are_told():
    details = problems.problem(errors.OverloadedError("full", field="model", retry_after=1.25), "id-1")
    assert details["errors"] == [{"field": "model", "detail": "full"}]
    assert details["retry_after"] == 1.25


@pytest.mark.parametrize(("delay", "header"), [(0.2, "1"), (1.0, "1"), (1.25, "2"), (0.0, "0"), (None, None)])
def test_retry_after_is_rounded_up(delay, header):
    response = problems.problem_response(errors.OverloadedError("full", retry_after=delay), "id-1")
    assert response.headers.get("retry-after") == header
    assert response.headers["content-type"] == "application/problem+json"


def test_half_a_surrogate_pair_can_be_quoted():
    assert b"\\ud800" in problems.problem_response(errors.InvalidRequestError("\ud800"), "id-1").body
