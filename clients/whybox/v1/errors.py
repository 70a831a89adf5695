"""The one exception tree of Whybox, free of any transport.

Workers, gateway and client raise and catch the same classes; each transport maps them at its edge. Between processes an
error travels as a `google.rpc.Status` (`to_status`, `error_from_status`).

    WhyboxError
    ├── InvalidRequestError      the request is wrong; names the field and the remedy
    │   └── PictureError         ... because its picture cannot be read or used
    │       └── PictureTooLargeError
    ├── UnauthenticatedError     the caller has no key, or none that is known
    ├── PermissionDeniedError    the key does not allow this
    ├── NotFoundError            no such model, version, audit or study
    ├── FailedPreconditionError  the request is right, but the model or server is not prepared for it
    ├── QuotaExceededError       the caller asked too often
    ├── UnavailableError         the server cannot answer now; the same request may succeed later
    │   └── OverloadedError      ... because the queue is full
    ├── DeadlineExceededError    the answer did not come in time
    ├── CancelledError           the caller hung up
    └── InternalError            a bug of the server; its message has no internals
"""

import logging
from collections.abc import Sequence
from typing import ClassVar

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_log = logging.getLogger(__name__)

DOMAIN = "whybox"
# Key of the parts that a stream still owed, in the metadata of an ErrorInfo.
_MISSING = "missing_parts"


class WhyboxError(Exception):
    """Any error of Whybox.

    Attributes:
        code: Canonical gRPC code as a number (`google.rpc.code_pb2`).
        reason: Machine-readable reason in UPPER_SNAKE_CASE, stable across transports.
        message: What is wrong and what to do about it, in words for people.
        field: Name of the request field at fault, or None.
        retry_after: Seconds after which the same request may succeed, or None.
        missing: Parts that a stream still owed when it ended in this error, as in `PartTiming.part`.
    """

    code: ClassVar[int] = code_pb2.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.retry_after = retry_after
        self.missing = tuple(missing)

    @property
    def code_name(self) -> str:
        """The canonical code's name, for example "INVALID_ARGUMENT"."""
        return str(code_pb2.Code.Name(self.code))

    def to_status(self) -> Status:
        """This error for the wire: code and message, with ErrorInfo, BadRequest and RetryInfo as they apply."""
        status = Status(code=self.code, message=self.message)
        info = ErrorInfo(domain=DOMAIN, reason=self.reason)
        if self.missing:
            info.metadata[_MISSING] = ",".join(self.missing)
        status.details.add().Pack(info)
        if self.field is not None:
            violation = BadRequest.FieldViolation(field=self.field, description=self.message)
            status.details.add().Pack(BadRequest(field_violations=[violation]))
        if self.retry_after is not None:
            delay = Duration()
            delay.FromMilliseconds(round(self.retry_after * 1000))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status


class InvalidRequestError(WhyboxError):
    """The request is wrong; the same request fails again."""

    code = code_pb2.INVALID_ARGUMENT
    default_reason = "INVALID_REQUEST"


class PictureError(InvalidRequestError):
    """The picture cannot be read or analysed."""

    default_reason = "BAD_PICTURE"


class PictureTooLargeError(PictureError):
    """The picture has too many bytes or too many pixels."""

    default_reason = "PICTURE_TOO_LARGE"


class UnauthenticatedError(WhyboxError):
    """The call needs a key, and the caller has none, or one that is unknown, revoked or expired."""

    code = code_pb2.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class PermissionDeniedError(WhyboxError):
    """The caller's key does not allow this call."""

    code = code_pb2.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class NotFoundError(WhyboxError):
    """There is no such model, version, audit or study."""

    code = code_pb2.NOT_FOUND
    default_reason = "NOT_FOUND"


class FailedPreconditionError(WhyboxError):
    """The request is right, but the model or the server is not prepared for it."""

    code = code_pb2.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class QuotaExceededError(WhyboxError):
    """The caller asked more often than agreed."""

    code = code_pb2.RESOURCE_EXHAUSTED
    default_reason = "QUOTA_EXCEEDED"


class UnavailableError(WhyboxError):
    """The server cannot answer now; the same request may succeed after `retry_after` seconds."""

    code = code_pb2.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class OverloadedError(UnavailableError):
    """The queue is full."""

    default_reason = "QUEUE_FULL"


class DeadlineExceededError(WhyboxError):
    """The answer did not come before the deadline."""

    code = code_pb2.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class CancelledError(WhyboxError):
    """The caller hung up before the answer was ready."""

    code = code_pb2.CANCELLED
    default_reason = "CANCELLED"


class InternalError(WhyboxError):
    """A bug of the server; its log has the details under the request id."""

    code = code_pb2.INTERNAL
    default_reason = "INTERNAL"


_BY_CODE: dict[int, type[WhyboxError]] = {
    error.code: error
    for error in (
        InvalidRequestError,
        UnauthenticatedError,
        PermissionDeniedError,
        NotFoundError,
        FailedPreconditionError,
        QuotaExceededError,
        UnavailableError,
        DeadlineExceededError,
        CancelledError,
        InternalError,
    )
}
_BY_REASON: dict[str, type[WhyboxError]] = {
    error.default_reason: error for error in (PictureError, PictureTooLargeError, OverloadedError)
}


def error_for(code: int, reason: str | None) -> type[WhyboxError]:
    """The class of the tree for a canonical code and a reason; `WhyboxError` for unknown codes."""
    by_reason = _BY_REASON.get(reason or "")
    if by_reason is not None and by_reason.code == code:
        return by_reason
    return _BY_CODE.get(code, WhyboxError)


def error_from_status(status: Status) -> WhyboxError:
    """The exception that `to_status` turned into `status`; unknown details are ignored."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, retry):
            detail.Unpack(known)
    field = bad.field_violations[0].field if bad.field_violations else None
    retry_after = retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None
    return error_for(status.code, info.reason)(
        status.message,
        reason=info.reason or None,
        field=field,
        retry_after=retry_after,
        missing=[part for part in info.metadata[_MISSING].split(",") if part],
    )


def as_whybox_error(error: Exception, request_id: str) -> WhyboxError:
    """The error that may leave a worker or the server in place of `error`.

    Args:
        error: Any exception. Outside of the tree it is a bug: the log gets all of it, the caller nothing of its text.
        request_id: Id of the call, by which the entry of the log can be found.
    """
    if isinstance(error, WhyboxError):
        return error
    _log.error("request %s failed unexpectedly", request_id, exc_info=error)
    return InternalError(f"the server failed on this request; its log has the details under {request_id}")
