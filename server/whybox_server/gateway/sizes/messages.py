"""The largest size that a message can have, from its descriptor and from what is known of its contents."""

import math
from collections.abc import Iterable
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.status_pb2 import Status

from whybox import v1

# Around each field: its tag, and the length of its content.
_FRAME_BYTES = 8
# Names that the contract gives: of methods, norms, units, states.
_NAME_BYTES = 64
# A sentence for people, with the numbers in it.
_SENTENCE_BYTES = 512
# What a failure says, which its details repeat, and the labels that it may name.
_STATUS_BYTES = 4096
_STATUS_LABELS = 4
# The labels that an observation names.
_OBSERVED_LABELS = 4
# Integers are varints; a negative one takes all ten bytes.
_NUMBER_BYTES = {
    FieldDescriptor.CPPTYPE_DOUBLE: 8,
    FieldDescriptor.CPPTYPE_FLOAT: 4,
    FieldDescriptor.CPPTYPE_BOOL: 1,
    FieldDescriptor.CPPTYPE_INT32: 10,
}


def at_most(kind: Descriptor, label: int = 0, **known: int) -> int:
    """The largest size of a message, in bytes.

    Every number, name and label counts as present. A list, a field of bytes, and a message with one of these inside are
    not bounded by the contract: `known` has to bound them, so a new field of this kind is not forgotten.

    Args:
        kind: Descriptor of the message.
        label: Bytes of the longest label of a class.
        **known: By field, the bytes of its content; 0 for a field that is absent. For a list see `several`.

    Raises:
        TypeError: A field has no bound, or `known` names none of the fields.
    """
    return _around(kind, label, frozenset(known)) + sum(known.values())


def several(sizes: Iterable[int]) -> int:
    """The content of a list of messages or strings of these sizes, in bytes."""
    return sum(_FRAME_BYTES + size for size in sizes)


def sentences(number: int) -> int:
    """The content of a list of at most `number` sentences for people, in bytes."""
    return several([_SENTENCE_BYTES] * number)


def observations(number: int, label: int) -> int:
    """The content of a list of `number` observations, in bytes.

    Args:
        number: How many a part carries.
        label: Bytes of the longest label of a class; some are named.
    """
    message = _SENTENCE_BYTES + _OBSERVED_LABELS * label
    return several([at_most(v1.Observation.DESCRIPTOR, message=message)] * number)


def png(side: int, bits: int) -> int:
    """The largest PNG of a square picture, in bytes.

    Args:
        side: Its side, in pixels.
        bits: Bits per pixel.
    """
    raw = side * (1 + math.ceil(side * bits / 8))
    # Deflate may enlarge what it cannot compress, and its output is cut into chunks; both cost less than 1 %.
    return raw + raw // 64 + 1024


@cache
def _around(kind: Descriptor, label: int, known: frozenset[str]) -> int:
    """Bytes of a message without the content of the fields that are known; the same for each request."""
    if unknown := known - {field.name for field in kind.fields}:
        raise TypeError(f"{kind.name} has no field {', '.join(sorted(unknown))}")
    return sum(_FRAME_BYTES + (0 if field.name in known else _content(field, label)) for field in kind.fields)


def _content(field: FieldDescriptor, label: int) -> int:
    if not field.is_repeated:
        if field.message_type is not None:
            if field.message_type.full_name == Status.DESCRIPTOR.full_name:
                return _STATUS_BYTES + _STATUS_LABELS * label
            return at_most(field.message_type, label)
        if field.cpp_type in _NUMBER_BYTES:
            return _NUMBER_BYTES[field.cpp_type]
        if field.type == FieldDescriptor.TYPE_STRING:
            return label if field.name.endswith("label") else _NAME_BYTES
    raise TypeError(f"{field.full_name} needs a bound of its size")
