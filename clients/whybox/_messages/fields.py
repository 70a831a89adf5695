"""The fields that messages of `whybox.v1` and values of `whybox.results` have in common."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from whybox.arguments import MAX_UINT32, flag, integer, names, number, text
from whybox.v1.errors import InternalError, WhyboxError, error_from_status

_ValueT = TypeVar("_ValueT")

_READERS: Mapping[int, Callable[[str, object], Any]] = {
    FieldDescriptor.CPPTYPE_INT32: integer,
    FieldDescriptor.CPPTYPE_UINT32: partial(integer, low=0, high=MAX_UINT32),
    FieldDescriptor.CPPTYPE_DOUBLE: number,
    FieldDescriptor.CPPTYPE_BOOL: flag,
    FieldDescriptor.CPPTYPE_STRING: text,
}
"""By the type of the field: how an option is read that has one value; an option of several has names."""


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


def same_named(
    options: Mapping[str, Any], given: Iterable[str], message: type[Message], but: Collection[str] = ()
) -> dict[str, Any]:
    """The options that were given and that bear the name of a field of the message, as their fields hold them.

    Args:
        options: As the caller gave them.
        given: Names of the options that belong to the message.
        message: The options of the part on the wire.
        but: Names of the options that have another form on the wire.

    Raises:
        TypeError: A value is not of the kind of its field.
        ValueError: A number is outside the range of its field, or a name is empty.
    """
    fields = message.DESCRIPTOR.fields_by_name
    values = {name: options.get(name) for name in given if name in fields and name not in but}
    readers = {name: names if fields[name].is_repeated else _READERS[fields[name].cpp_type] for name in values}
    return {name: readers[name](name, value) for name, value in values.items() if value is not None}
