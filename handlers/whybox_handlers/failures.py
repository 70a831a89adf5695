"""Errors of one part, as the caller and the log are told about them."""

from google.rpc.status_pb2 import Status

from whybox.v1.errors import as_whybox_error


def note(status: Status, error: Exception, request_id: str) -> None:
    """Fills in why a part is missing."""
    status.CopyFrom(as_whybox_error(error, request_id).to_status())
