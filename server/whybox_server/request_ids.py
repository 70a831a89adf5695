"""Which id a call goes by, in every log, answer and worker."""

import re
import uuid

from whybox.v1.vocabulary import REQUEST_ID_PATTERN

_USABLE = re.compile(REQUEST_ID_PATTERN)


def request_id(sent: str | bytes | None) -> str:
    """The caller's own id where it is usable, else a new one.

    Args:
        sent: What the caller sent as `x-request-id`, if anything.

    Returns:
        1 to 128 characters of letters, digits, dot, underscore and hyphen.
    """
    if isinstance(sent, str) and _USABLE.fullmatch(sent):
        return sent
    return uuid.uuid4().hex
