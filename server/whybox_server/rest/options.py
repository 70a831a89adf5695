"""The options of the REST routes: one table that reads them and describes them."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from whybox.v1.errors import InvalidRequestError

ACTIONS = ("predict", "explain", "robustness", "bias", "analyze")
INT32 = range(-(2**31), 2**31)
UINT32 = range(2**32)


@dataclass(frozen=True)
class Options:
    """What a caller asked for; None or nothing where it was left open."""

    version: str = ""
    seed: int = 0
    timeout: float | None = None
    top_k: int | None = None
    method: tuple[str, ...] = ()
    target_class: int | None = None
    steps: int | None = None
    dtype: str = ""
    channels: str = ""
    norm: tuple[str, ...] = ()
    budget: str = ""
    attribute: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: The same in a query, a form and JSON.
        actions: The actions that take it.
        read: Turns a string, or a scalar of JSON, into its value; a ValueError says what would be right.
        schema: What `read` accepts, as JSON Schema.
        description: For people.
        repeatable: Whether it may be given several times (in JSON: as an array).
    """

    name: str
    actions: tuple[str, ...]
    read: Callable[[object], object]
    schema: Mapping[str, Any]
    description: str
    repeatable: bool = False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can escape half of a surrogate pair.
        raise ValueError("must be valid Unicode") from None
    return value


def _integer(allowed: range) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,10}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
            raise ValueError(f"must be an integer from {allowed[0]} to {allowed[-1]}")
        return value

    return read


def _seconds(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,2})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ValueError("must be a number of seconds above 0")
    return float(value)


def _budget(value: object) -> str:
    # A number of evaluations is a number to whoever writes JSON, and a string in the message.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value)


_TEXT = {"type": "string"}
_INT32 = {"type": "integer", "format": "int32"}
_EXPLAINED = ("explain", "analyze")
_ATTACKED = ("robustness", "analyze")

OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("version", ACTIONS, _text, _TEXT, "Version of the model. Default: the served one."),
        Option(
            "seed",
            ACTIONS,
            _integer(UINT32),
            {"type": "integer", "minimum": 0, "maximum": UINT32[-1]},
            "Seed of every method that samples. Default 0.",
        ),
        Option(
            "timeout",
            ACTIONS,
            _seconds,
            {"type": "number", "exclusiveMinimum": 0},
            "Seconds that the caller will wait; the server's own limit holds in any case.",
        ),
        Option(
            "top_k",
            ("predict", "analyze"),
            _integer(INT32),
            _INT32,
            "How many classes to return, most probable first. Default 5.",
        ),
        Option(
            "method",
            _EXPLAINED,
            _text,
            _TEXT,
            "How to explain, one of the model's `methods`; one map for each. Default grad_cam.",
            repeatable=True,
        ),
        Option(
            "target_class",
            _EXPLAINED,
            _integer(INT32),
            _INT32,
            "Index of the class to explain. Default: the predicted class.",
        ),
        Option("steps", _EXPLAINED, _integer(INT32), _INT32, "integrated_gradients: steps of the path. Default 50."),
        Option("dtype", _EXPLAINED, _text, _TEXT, 'How maps are encoded: "float32" (default), "float16" or "uint8".'),
        Option(
            "channels",
            _EXPLAINED,
            _text,
            _TEXT,
            '"sum" (default): one value per pixel. "none": one per pixel and colour channel.',
        ),
        Option(
            "norm",
            _ATTACKED,
            _text,
            _TEXT,
            "In which norm to measure, one of the model's `norms`. Default linf.",
            repeatable=True,
        ),
        Option(
            "budget",
            _ATTACKED,
            _budget,
            {"type": ["string", "integer"]},
            'What each search may spend: "fast", "standard" (default), "thorough", or a number of gradient '
            "evaluations.",
        ),
        Option(
            "attribute",
            ("bias", "analyze"),
            _text,
            _TEXT,
            "Annotated attribute to report on. Default: every audited one.",
            repeatable=True,
        ),
    )
}


def options_of(action: str) -> tuple[Option, ...]:
    """The options that an action takes, in the order of the table."""
    return tuple(option for option in OPTIONS.values() if action in option.actions)


Given = Iterable[tuple[str, object]]
"""Names and values as they were sent, in order."""


def read_options(allowed: Iterable[Option], query: Given, body: Given = ()) -> dict[str, Any]:
    """The values that were given, by name; `Options(**values)` fills in the rest.

    Args:
        allowed: The options that may be given here.
        query: What the query carries.
        body: What the body carries.

    Raises:
        InvalidRequestError: A name is unknown here or given twice, or a value is not of its kind.
    """
    known = {option.name: option for option in allowed}
    values: dict[str, Any] = {}
    for place in (query, body):
        here: dict[str, list[object]] = {}
        for name, value in place:
            here.setdefault(name, []).append(value)
        for name, sent in here.items():
            if name not in known:
                takes = ", ".join(sorted(known)) or "none"
                raise InvalidRequestError(f"Unknown option {name!r}; known here: {takes}.", field=name)
            if name in values:
                raise InvalidRequestError(f"{name} is given twice, in the query and in the body.", field=name)
            values[name] = _read(known[name], sent)
    return values


def _read(option: Option, sent: list[object]) -> object:
    if len(sent) > 1 and not option.repeatable:
        raise InvalidRequestError(f"{option.name} is given twice.", field=option.name)
    try:
        read = tuple(option.read(value) for value in sent)
    except ValueError as exc:
        raise InvalidRequestError(f"{option.name} {exc}.", field=option.name) from None
    return read if option.repeatable else read[0]
