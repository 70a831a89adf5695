"""Readers of single options: a string or a scalar of JSON becomes its value; a ValueError says what would be right."""

import re
import sys
from collections.abc import Callable

INT32 = range(-(2**31), 2**31)
UINT32 = range(2**32)
MAX_CHARACTERS = 1000


def text(value: object) -> str:
    """A string, as protobuf can carry it."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can escape half of a surrogate pair.
        raise ValueError("must be valid Unicode") from None
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
    return value


def integer(allowed: range) -> Callable[[object], int]:
    """A reader of whole numbers in a range."""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,10}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
            raise ValueError(f"must be an integer from {allowed[0]} to {allowed[-1]}")
        return value

    return read


def positive(value: object) -> float:
    """A number above 0."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,2})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ValueError("must be a number above 0")
    return float(value)


def seconds(value: object) -> float:
    """A number of seconds above 0."""
    try:
        return positive(value)
    except ValueError:
        raise ValueError("must be a number of seconds above 0") from None


def share(value: object) -> float:
    """A number from 0 to 1."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,2})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def class_name(value: object) -> int | str:
    """The index of a class or its name: what looks like a number is one."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("must be the index or the name of a class")
    if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value):
        return text(value)
    return integer(INT32)(value)


def boolean(value: object) -> bool:
    """True or false, also as a word."""
    if value in ("true", "false"):
        value = value == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def budget(value: object) -> str:
    """A string, or a number that becomes one."""
    # A number of evaluations is a number to whoever writes JSON, and a string in the message.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)
