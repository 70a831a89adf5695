"""What went wrong, as callers and the log are told of it."""

import logging

from google.rpc.status_pb2 import Status

from whybox.v1 import errors

_log = logging.getLogger(__name__)


def note(status: Status, error: Exception, request_id: str) -> None:
    """Fills in why something is missing; of a bug the caller learns no more than where the log has its cause."""
    if not isinstance(error, errors.WhyboxError):
        _log.error("request %s failed", request_id, exc_info=error)
        error = errors.InternalError(
            f"the model failed on this request; the server's log has the details under {request_id}"
        )
    status.CopyFrom(error.to_status())
