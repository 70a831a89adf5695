"""Kinds of single values: how each is read from text or JSON, and its JSON Schema.

A reader takes a string (of a query or a form) or a scalar of JSON, and returns the value; a ValueError says what would
be right. It takes all that the schema takes, and strings that spell it: 3.0 is an integer, as it is in JSON Schema, and
"True" is a boolean, as Python writes it. A string with an exponent or a space is no integer.
"""

import math
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 1000

_INT32 = (-(2**31), 2**31 - 1)
_NUMBER = re.compile(r"-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"(-?[0-9]{1,10})(\.0{1,10})?")


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        read: The reader.
        schema: What `read` accepts, as JSON Schema.
    """

    read: Callable[[object], Any]
    schema: Mapping[str, Any]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can escape half of a surrogate pair, which protobuf cannot carry.
        raise ValueError("must be valid Unicode") from None
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
    return value


TEXT = Kind(_text, {"type": "string", "maxLength": MAX_CHARACTERS})


def name_of(names: Collection[str]) -> Kind:
    """One of several names."""

    def read(value: object) -> str:
        name = _text(value)
        if name not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return name

    return Kind(read, {"type": "string", "enum": list(names)})


def _whole(value: object) -> object:
    """An integer, where the value is one or spells one."""
    if isinstance(value, str) and (spelled := _INTEGER.fullmatch(value)):
        return int(spelled[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def integer(low: int = _INT32[0], high: int = _INT32[1]) -> Kind:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        value = _whole(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return value

    return Kind(read, {"type": "integer", "minimum": low, "maximum": high})


def number(
    *, low: float = -math.inf, above: float = -math.inf, high: float = math.inf, below: float = math.inf, unit: str = ""
) -> Kind:
    """A finite number from `low`, above `above`, to `high`, below `below`; `unit` is named in errors."""
    ends = {"minimum": low, "exclusiveMinimum": above, "maximum": high, "exclusiveMaximum": below}
    bounds = {name: end for name, end in ends.items() if math.isfinite(end)}
    what = f"a number{f' of {unit}' if unit else ''} {_range(low, above, high, below)}".rstrip()

    def read(value: object) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"must be {what}")
        # Written so that NaN is refused.
        if not (abs(value) <= sys.float_info.max and low <= value <= high and above < value < below):
            raise ValueError(f"must be {what}")
        return float(value)

    return Kind(read, {"type": "number", **bounds})


def _range(low: float, above: float, high: float, below: float) -> str:
    """For example "from 0 to 1" or "above 0 and at most 2"."""
    if math.isfinite(low) and math.isfinite(high):
        return f"from {low:g} to {high:g}"
    ends = {"at least": low, "above": above, "at most": high, "below": below}
    return " and ".join(f"{words} {end:g}" for words, end in ends.items() if math.isfinite(end))


def _boolean(value: object) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


BOOLEAN = Kind(_boolean, {"type": "boolean"})


def class_of(indices: Kind) -> Kind:
    """A class, by its name or by its index, which is of the kind `indices`."""

    def read(value: object) -> int | str:
        if isinstance(value, float):
            value = _whole(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise ValueError("must be the index or the name of a class")
        # Digits are an index; "3.0" may be a name.
        if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value):
            return _text(value)
        index: int = indices.read(value)
        return index

    return Kind(read, {"type": ["integer", "string"], "minLength": 1, "maxLength": MAX_CHARACTERS})


CLASS = class_of(integer())


def _text_or_integer(value: object) -> str:
    # A number of evaluations is a number to people who write JSON, and a string in the message.
    whole = _whole(value)
    return str(whole) if isinstance(whole, int) and not isinstance(whole, bool) else _text(value)


TEXT_OR_INTEGER = Kind(_text_or_integer, {"type": ["string", "integer"]})


def _picture(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("must be an encoded picture")
    return value


PICTURE = Kind(_picture, {"type": "string", "contentEncoding": "base64"})
"""An encoded picture: a file of a form, or base64 in JSON; never text."""
