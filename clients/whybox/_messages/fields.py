"""The fields that messages of `whybox.v1` and values of `whybox.results` have in common."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from whybox.v1.errors import InternalError, WhyboxError, error_from_status

_ValueT = TypeVar("_ValueT")


def plain(message: Message) -> dict[str, Any]:
    """The fields of a message that are not messages themselves, by name.

    The values of this package bear the names of the contract, so that neither can gain a field without the other. An
    absent optional field is None, a repeated one a tuple, a map a dict.
    """
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                values[field.name] = dict(value)
        elif field.is_repeated:
            values[field.name] = tuple(value)
        else:
            values[field.name] = None if field.has_presence and not message.HasField(field.name) else value
    return values


def one(message: Message, field: str, kind: type[_ValueT]) -> _ValueT | None:
    """The value of the message in `field`, which holds no message itself; None for an absent field."""
    return kind(**plain(getattr(message, field))) if message.HasField(field) else None


def many(messages: Iterable[Message], kind: type[_ValueT]) -> tuple[_ValueT, ...]:
    """The values of the messages in a repeated field, which hold no messages themselves."""
    return tuple(kind(**plain(message)) for message in messages)


def error(status: Status) -> WhyboxError | None:
    """The exception that a status stands for, or None for success."""
    return error_from_status(status) if status.code else None


def malformed(how: str) -> InternalError:
    """The error for an answer that breaks the contract; `how` goes on after "the server's answer"."""
    return InternalError(f"the server's answer {how}", reason="MALFORMED_ANSWER")


def same_named(options: Mapping[str, Any], kind: type, message: type[Message]) -> dict[str, Any]:
    """The options of a kind that were given and that bear the name of a field of the message, by that name.

    Args:
        options: As the caller gave them.
        kind: The TypedDict that declares the options of the part.
        message: The options of the part on the wire.
    """
    fields = message.DESCRIPTOR.fields_by_name
    values = {name: options.get(name) for name in kind.__annotations__ if name in fields}
    return {
        name: names(value) if fields[name].is_repeated else value for name, value in values.items() if value is not None
    }


def names(given: Iterable[str] | str | None) -> tuple[str, ...]:
    """The names in an option that takes one name or several."""
    # A single name is a string, whose letters would otherwise count as names.
    return (given,) if isinstance(given, str) else tuple(given or ())
