"""What callers of Python pass for a number, a flag or a name, as the plain value that it stands for.

Client and notebook read every such argument here. A scalar of numpy, and an array or a tensor without dimensions,
counts as the number that it holds; neither library is imported. A bool is no number, and 3.0 is an integer, as for the
server. Errors name the argument, what would be right, and what was given: TypeError for a value of another kind,
ValueError for one out of range.
"""

import math
import operator
import reprlib
from collections.abc import Iterable
from typing import Any, Final, SupportsFloat, SupportsIndex

MAX_INT32: Final = 2**31 - 1
MIN_INT32: Final = -(2**31)
MAX_UINT32: Final = 2**32 - 1

_BYTES = (bytes, bytearray, memoryview)
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 60


def integer(name: str, given: object, low: int = MIN_INT32, high: int = MAX_INT32, *, what: str = "") -> int:
    """A whole number.

    Args:
        name: Name of the argument.
        given: What the caller passed.
        low: The smallest number that is right.
        high: The largest number that is right.
        what: What the argument must be, for errors; by default "an integer from `low` to `high`".

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    value = held(given)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    wanted = what or f"an integer from {low} to {high}"
    if not isinstance(value, SupportsIndex) or _is_flag_or_array(value):
        raise TypeError(_refusal(name, wanted, given))
    try:
        whole = operator.index(value)
    except (RuntimeError, TypeError):
        raise TypeError(_refusal(name, wanted, given)) from None
    if not low <= whole <= high:
        raise ValueError(_refusal(name, wanted, given))
    return whole


def number(name: str, given: object, *, what: str = "a finite number") -> float:
    """A finite number.

    Args:
        name: Name of the argument.
        given: What the caller passed.
        what: What the argument must be, for errors.

    Raises:
        TypeError: It is no real number.
        ValueError: It is not finite.
    """
    value = held(given)
    if not isinstance(value, SupportsFloat | SupportsIndex) or _is_flag_or_array(value):
        raise TypeError(_refusal(name, what, given))
    try:
        real = float(value)
    except (RuntimeError, TypeError):  # a tensor without data, or an object that only looks like a number
        raise TypeError(_refusal(name, what, given)) from None
    except (OverflowError, ValueError):  # larger than any float, or a signalling NaN
        real = math.nan
    if not math.isfinite(real):
        raise ValueError(_refusal(name, what, given))
    return real


def flag(name: str, given: object) -> bool:
    """True or False, and no number or text that could stand for one.

    Raises:
        TypeError: It is neither.
    """
    value = held(given)
    if not isinstance(value, bool):
        raise TypeError(_refusal(name, "True or False", given))
    return value


def text(name: str, given: object, *, what: str = "a str") -> str:
    """A text of at least one character; on the wire an empty one stands for the default.

    Raises:
        TypeError: It is no str.
        ValueError: It is empty, or holds half of a surrogate pair, which UTF-8 cannot carry.
    """
    value = held(given)
    if not isinstance(value, str):
        raise TypeError(_refusal(name, what, given))
    if not value:
        raise ValueError(f"{name} must be {what} with at least one character; leave it out for the default")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(_refusal(name, f"{what} of valid Unicode", given)) from None
    # Members of enumerations and scalars of numpy are subclasses.
    return str.__str__(value)


def names(name: str, given: object) -> tuple[str, ...]:
    """One name or several.

    Raises:
        TypeError: It is neither a str nor an iterable of them.
        ValueError: A name is empty, or no valid Unicode.
    """
    value, what = held(given), "a name or several names"
    # A single name is a str, whose letters would otherwise count as names.
    if isinstance(value, str):
        return (text(name, value, what=what),)
    if isinstance(value, _BYTES) or not isinstance(value, Iterable):
        raise TypeError(_refusal(name, what, given))
    return tuple(text(name, each, what=what) for each in value)


def class_of(name: str, given: object, high: int = MAX_INT32) -> int | str:
    """A class, by its index from 0 to `high` or by its label.

    Raises:
        TypeError: It is neither.
        ValueError: The index is out of range, or the label is empty or no valid Unicode.
    """
    value = held(given)
    if isinstance(value, str):
        return text(name, value, what="a class's index or label")
    return integer(name, given, 0, high, what=f"a class's index or label (an index from 0 to {high})")


def classes(name: str, given: object) -> tuple[int | str, ...]:
    """One class or several; see `class_of`."""
    value = held(given)
    if isinstance(value, Iterable) and not isinstance(value, (str, *_BYTES)):
        return tuple(class_of(name, each) for each in value)
    return (class_of(name, given),)


def held(given: object) -> Any:
    """What a scalar of numpy, or an array or tensor without dimensions, holds; any other value as it is."""
    item = getattr(given, "item", None)
    if not callable(item) or getattr(given, "ndim", None) != 0:
        return given
    try:
        return item()
    except (RuntimeError, TypeError, ValueError):  # a tensor without data
        return given


def _is_flag_or_array(value: object) -> bool:
    # A bool is an int to Python, and a tensor of one element has an index whatever its dimensions.
    return isinstance(value, bool) or getattr(value, "ndim", 0) != 0


def _refusal(name: str, wanted: str, given: object) -> str:
    return f"{name} must be {wanted}, not {_brief.repr(given)}"
