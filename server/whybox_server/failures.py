"""What a caller is told about an exception: errors of the tree as they are, anything else without its inside."""

import logging

from whybox.v1.errors import InternalError, WhyboxError

logger = logging.getLogger(__name__)


def as_whybox_error(error: Exception, request_id: str) -> WhyboxError:
    """The error that may leave the process in place of `error`.

    Args:
        error: Whatever was raised. Outside of the tree it is a bug: it is logged in full, and nothing of its text is
            passed on.
        request_id: Id of the call, by which the log entry can be found.
    """
    if isinstance(error, WhyboxError):
        return error
    logger.error("request %s failed unexpectedly", request_id, exc_info=error)
    return InternalError("the server failed unexpectedly; its log has the details under this request id")
