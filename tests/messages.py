"""Messages in the spelling of JSON.

The constructors of messages take dictionaries for sub-messages, the stubs of mypy-protobuf do not.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)


def message(kind: Callable[..., MessageT], /, **fields: Any) -> MessageT:
    """A message, for example `message(v1.Work, request={"model": "m", "prediction": {}})`.

    Args:
        kind: Class of the message.
        fields: Its fields; sub-messages as dictionaries or as messages.
    """
    return kind(**fields)
