"""Errors that arise on the way to the server, in the same words on both transports."""

from typing import TypeVar

from whybox._transports.transport import Call
from whybox.v1.errors import DeadlineExceededError, NotFoundError, PictureTooLargeError, UnavailableError, WhyboxError

_ErrorT = TypeVar("_ErrorT", bound=WhyboxError)


def unreachable(url: str, why: str) -> UnavailableError:
    """No server answers at `url`."""
    return UnavailableError(f"no Whybox server answers at {url}: {why}")


def too_late(url: str, call: Call) -> DeadlineExceededError:
    """The answer did not come within the caller's time."""
    return DeadlineExceededError(f"{url} did not answer within {call.timeout:g} s; give the call a longer timeout")


def too_large(url: str, why: str) -> PictureTooLargeError:
    """The server, or a proxy before it, refuses a request for its size without the words of Whybox."""
    return PictureTooLargeError(f"the picture is too large for {url}: {why}", field="image")


def not_whybox(url: str, what: str) -> WhyboxError:
    """Another program than Whybox answers at `url`."""
    return WhyboxError(f"{url} is not a Whybox server, or not its address for this scheme: {what}", reason="NOT_WHYBOX")


def no_studies(url: str) -> NotFoundError:
    """The server answers, but has no database of studies."""
    return NotFoundError(f"{url} keeps no studies; start the server with WHYBOX_DATABASE", reason="NO_STUDIES")


def no_operations(url: str) -> NotFoundError:
    """The server answers, but keeps no operations."""
    return NotFoundError(f"{url} keeps no operations; start the server with WHYBOX_DATABASE", reason="NO_OPERATIONS")


def traced(error: _ErrorT, call: Call) -> _ErrorT:
    """The error with the id under which the server's log knows its request, as a note (PEP 678)."""
    error.add_note(f"Request id: {call.request_id}")
    return error
