"""Calls over gRPC as strangers may make them: valid ones, and mutations of them, all decided by one seed."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from whybox_server.oip import inference_pb2

# What a caller can be told; CANCELLED and DEADLINE_EXCEEDED only if the caller brought it about.
DECLARED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
}
WAIT_SECONDS = 60

_INTEGERS = (0, 1, -1, 2, 7, 1_000, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e38, -1e38, math.nan, math.inf, -math.inf)
_STRINGS = (
    "",
    " ",
    "all",
    "none",
    "m",
    "grad_cam",
    "../../etc/passwd",
    "\0",
    "é\u202e\U0001f600",
    "%s%n",
    "1e999",
    "x" * 5_000,
)
_SCALARS: dict[Any, Sequence[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: _INTEGERS,
    FieldDescriptor.CPPTYPE_INT64: _INTEGERS,
    FieldDescriptor.CPPTYPE_UINT32: _INTEGERS,
    FieldDescriptor.CPPTYPE_UINT64: _INTEGERS,
    FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
    FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
    FieldDescriptor.CPPTYPE_ENUM: (0, 1, -1, 99),
    FieldDescriptor.CPPTYPE_STRING: _STRINGS,
}
_METADATA = {
    "x-whybox-timeout": ("", "0", "-1", "nan", "1e999", "5", "9" * 400, "soon"),
    "x-whybox-max-response-bytes": ("", "0", "-1", "1", "99999999999", "4e6", "33554432"),
    "x-whybox-compression": ("gzip", "deflate", "br", ""),
    "x-request-id": ("mine", "x" * 2_000, "two words", "%0d%0a"),
    "x-other": ("y" * 9_000, "z"),
    "x-other-bin": (b"\0\xff" * 30,),
    "authorization": ("Bearer x", "Basic eDp5", "Bearer"),
}


@dataclass(frozen=True)
class Asked:
    """One call.

    Attributes:
        method: Its path.
        message: What is sent, which may be no message.
        metadata: Of the call.
        seconds: Until its deadline.
        cancelled: Whether the caller hangs up in the midst of it.
        valid: Whether it must succeed.
    """

    method: str
    message: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    seconds: float = WAIT_SECONDS
    cancelled: bool = False
    valid: bool = False


@dataclass
class Found:
    """What became of calls.

    Attributes:
        codes: How many ended with each code.
        valid: The same of those that must succeed.
        undeclared: Calls that ended with a code that no caller may be told.
    """

    codes: Counter[str] = field(default_factory=Counter)
    valid: Counter[str] = field(default_factory=Counter)
    undeclared: list[tuple[str, str, Asked]] = field(default_factory=list)


def calls(valid: Sequence[tuple[str, Message]], number: int, seed: int) -> list[Asked]:
    """Calls in turn: a fifth of them valid, the others with something wrong with them.

    Args:
        valid: Methods by their path, each with a message that it answers.
        number: How many calls.
        seed: Decides all of them.
    """
    chance = Random(seed)
    return [_call(*chance.choice(valid), chance) for _ in range(number)]


def _call(method: str, message: Message, chance: Random) -> Asked:
    sent = message.SerializeToString()
    kind = chance.choices(("valid", "fields", "bytes", "metadata", "deadline", "cancelled"), (20, 45, 10, 10, 7, 8))[0]
    if kind == "valid":
        return Asked(method, sent, valid=True)
    if kind == "fields":
        changed = type(message)()
        changed.CopyFrom(message)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            mutate(changed, chance)
        return Asked(method, changed.SerializeToString())
    if kind == "bytes":
        return Asked(method, harmed(sent, chance))
    if kind == "metadata":
        names = chance.sample([*_METADATA], chance.randint(1, 3))
        return Asked(method, sent, tuple((name, chance.choice(_METADATA[name])) for name in names))
    if kind == "deadline":
        return Asked(method, sent, seconds=chance.choice((1e-6, 1e-3, 3e-3, 1e-2)))
    return Asked(method, sent, cancelled=True)


def mutate(message: Message, chance: Random) -> None:
    """Changes one field of a message, or of one below it."""
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    chosen: Any = chance.choice(fields)
    if chance.random() < 0.1:
        message.ClearField(chosen.name)
    elif chosen.message_type and chosen.message_type.GetOptions().map_entry:
        getattr(message, chosen.name)[chance.choice(_STRINGS)]  # a new entry, with nothing in it
    elif chosen.message_type:
        held: Any = getattr(message, chosen.name)
        if chosen.is_repeated:
            count = chance.choice((1, 1, 1, 2, 40))
            for _ in range(count):
                held.add()
            mutate(chance.choice(held), chance)
        else:
            held.SetInParent()
            mutate(held, chance)
    elif chosen.is_repeated:
        getattr(message, chosen.name).extend(_value(chosen, chance) for _ in range(chance.choice((1, 2, 2_000))))
    else:
        setattr(message, chosen.name, _value(chosen, chance))


def _value(chosen: FieldDescriptor, chance: Random) -> Any:
    if chosen.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 100, 3_000)))
    ranges = {
        FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
        FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
        FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
        FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
    }
    values = _SCALARS[chosen.cpp_type]
    if chosen.cpp_type in ranges:
        low, above = ranges[chosen.cpp_type]
        values = [value for value in values if low <= value < above]
    return chance.choice(values)


def harmed(sent: bytes, chance: Random) -> bytes:
    """Bytes that are hardly a message any more."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.choice((1, 20, 2_000)))
    if kind == 1:
        return sent[: chance.randrange(len(sent) + 1)]
    if kind == 2:
        return sent + sent
    changed = bytearray(sent or b"\0")
    for _ in range(chance.randint(1, 5)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


async def ask(channel: grpc.aio.Channel, asked: Sequence[Asked], *, at_once: int) -> Found:
    """Makes the calls, `at_once` at a time. A call that hangs beyond its deadline fails by asyncio's."""
    found = Found()
    waiting = iter(asked)

    async def caller() -> None:
        for each in waiting:
            async with asyncio.timeout(each.seconds + WAIT_SECONDS):
                code, told = await _outcome(channel, each)
            found.codes[code] += 1
            if each.valid:
                found.valid[code] += 1
            if code not in DECLARED:
                found.undeclared.append((code, told, each))

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return found


async def _outcome(channel: grpc.aio.Channel, asked: Asked) -> tuple[str, str]:
    """The code of a call, and what was told. Every method is read as a stream, which one answer is as well."""
    kind: Any = channel.unary_stream(asked.method)
    call = kind(asked.message, metadata=asked.metadata, timeout=asked.seconds)
    try:
        if asked.cancelled:
            await asyncio.sleep(0.001 * (len(asked.message) % 5))
            call.cancel()
        while await call.read() is not grpc.aio.EOF:
            pass
        return str((await call.code()).name), ""
    except grpc.aio.AioRpcError as error:
        return str(error.code().name), str(error.details())
    except asyncio.CancelledError:
        if not call.cancelled():
            raise
        return "CANCELLED", ""


def inference(model: str, image: bytes) -> inference_pb2.ModelInferRequest:
    """A request of the Open Inference Protocol for the classes of a picture."""
    request = inference_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(image)
    return request
