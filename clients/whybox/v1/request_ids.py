"""The id of a call, by which the caller, the log and the worker name it."""

import re
import uuid

HEADER = "x-request-id"
"""Header of a REST request and answer; key of the metadata of a gRPC call and answer."""

PATTERN = r"[A-Za-z0-9._-]{1,128}"
"""Regular expression of the ids that a caller may choose: safe in a log, in a header, and in a shell."""


def is_usable(request_id: str) -> bool:
    """Whether a caller may choose this id; the server replaces any other id by a new one."""
    return re.fullmatch(PATTERN, request_id) is not None


def new_request_id() -> str:
    """An id that no other call has."""
    return uuid.uuid4().hex


def usable_or_new(sent: str | bytes | None) -> str:
    """The id under which a server answers a call.

    Args:
        sent: What the caller sent, if anything; gRPC gives values of some keys as bytes.
    """
    return sent if isinstance(sent, str) and is_usable(sent) else new_request_id()
