"""What a caller is told about an exception: errors of the tree as they are, bugs without their inside."""

import logging

from whybox.v1.errors import InternalError, WhyboxError

_log = logging.getLogger(__name__)


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
