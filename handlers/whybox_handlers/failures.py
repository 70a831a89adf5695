"""Errors, as the caller and the log are told about them."""

import logging

from google.rpc.status_pb2 import Status

from whybox.v1 import errors

_log = logging.getLogger(__name__)


def note(status: Status, error: Exception, request_id: str) -> None:
    """Fills in why a part is missing. For a bug, the caller learns only the id under which the log has the cause."""
    if not isinstance(error, errors.WhyboxError):
        _log.error("request %s failed", request_id, exc_info=error)
        error = errors.InternalError(
            f"the model failed on this request; the server's log has the details under {request_id}"
        )
    status.CopyFrom(error.to_status())
