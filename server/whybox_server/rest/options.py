"""The options of the REST routes: one table that reads them and describes them."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from whybox.v1.errors import InvalidRequestError

ACTIONS = ("predict", "explain", "robustness", "bias", "analyze")
EXPLAINING = ("explain", "analyze")
INT32 = range(-(2**31), 2**31)
UINT32 = range(2**32)
# More than any option can use: every map gets its copy, so that a large body must not be full of them.
MAX_VALUES = 100
MAX_CHARACTERS = 1000


@dataclass(frozen=True)
class Options:
    """What a caller asked for; None or nothing where it was left open."""

    version: str = ""
    seed: int = 0
    timeout: float | None = None
    top_k: int | None = None
    method: tuple[str, ...] = ()
    target_class: tuple[int | str, ...] = ()
    contrast_class: int | str | None = None
    baseline: str = ""
    max_evaluations: int | None = None
    tolerance: float | None = None
    encoding: tuple[str, ...] = ()
    channels: str = ""
    quality: tuple[str, ...] = ()
    norm: tuple[str, ...] = ()
    budget: str = ""
    attack: str = ""
    picture: tuple[str, ...] = ()
    transfer: bool = False
    twin: str = ""
    corruption: tuple[str, ...] = ()
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
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
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


def _share(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]*\.?[0-9]+([eE][+-]?[0-9]{1,2})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def _class(value: object) -> int | str:
    """The index of a class or its name: what looks like a number is one."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("must be the index or the name of a class")
    if isinstance(value, str) and not re.fullmatch("-?[0-9]+", value):
        return _text(value)
    return _integer(INT32)(value)


def _boolean(value: object) -> bool:
    if value in ("true", "false"):
        value = value == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _budget(value: object) -> str:
    # A number of evaluations is a number to whoever writes JSON, and a string in the message.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value)


_TEXT = {"type": "string", "maxLength": MAX_CHARACTERS}
_INT32 = {"type": "integer", "format": "int32"}
_CLASS = {"type": ["integer", "string"], "minLength": 1, "maxLength": MAX_CHARACTERS}
_ATTACKING = ("robustness", "analyze")

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
            EXPLAINING,
            _text,
            _TEXT,
            "How to explain, one of the model's `methods`; one map for each. Default grad_cam.",
            repeatable=True,
        ),
        Option(
            "target_class",
            EXPLAINING,
            _class,
            _CLASS,
            "Index or name of the class to explain; one map for each. Default: the predicted class.",
            repeatable=True,
        ),
        Option(
            "contrast_class",
            EXPLAINING,
            _class,
            _CLASS,
            "Index or name of another class: the map then tells why the target rather than this one.",
        ),
        Option(
            "baseline",
            EXPLAINING,
            _text,
            _TEXT,
            'What stands for "nothing there": "black", "grey", "blur" or "mean" (of the maps for these three). '
            "A picture of your own goes into `baseline_image` of a form or of JSON.",
        ),
        Option(
            "max_evaluations",
            EXPLAINING,
            _integer(INT32),
            _INT32,
            "The most that each method may spend, in the evaluations that it counts; see the model's `methods`.",
        ),
        Option(
            "tolerance",
            EXPLAINING,
            _share,
            {"type": "number", "minimum": 0, "maximum": 1},
            "Methods stop when their `residual` is at most this; 0 spends all of max_evaluations.",
        ),
        Option(
            "encoding",
            EXPLAINING,
            _text,
            _TEXT,
            'How maps travel: one of "uint8" (default), "float16" and "float32", and any of "heat_map", "overlay" and '
            '"regions".',
            repeatable=True,
        ),
        Option(
            "channels",
            EXPLAINING,
            _text,
            _TEXT,
            '"sum" (default): one value per pixel. "none": one per pixel and colour channel.',
        ),
        Option(
            "quality",
            EXPLAINING,
            _text,
            _TEXT,
            'What shall be measured of each map: "deletion", "insertion", "infidelity", "sensitivity", "stability", or '
            '"all".',
            repeatable=True,
        ),
        Option(
            "norm",
            _ATTACKING,
            _text,
            _TEXT,
            "In which norm to measure, one of the model's `norms`. Default linf.",
            repeatable=True,
        ),
        Option(
            "budget",
            _ATTACKING,
            _budget,
            {"type": ["string", "integer"]},
            'What each search may spend: "fast", "standard" (default), "thorough", a number of gradient evaluations from '
            '1 to 1000, or "deadline" for what the time of the call allows.',
        ),
        Option(
            "attack",
            _ATTACKING,
            _text,
            _TEXT,
            "Who searches, one of the model's `attacks`. Default: its `default_attack`.",
        ),
        Option(
            "picture",
            _ATTACKING,
            _text,
            _TEXT,
            'Pictures of each change, as PNG: "adversarial" (the changed view in 8 bits), "change" (the change itself, '
            "amplified).",
            repeatable=True,
        ),
        Option(
            "transfer",
            _ATTACKING,
            _boolean,
            {"type": "boolean"},
            "Whether the other served models are shown the adversarial picture too. Default false.",
        ),
        Option(
            "twin",
            _ATTACKING,
            _text,
            _TEXT,
            "Explains each adversarial picture beside the picture that was sent, with one of the model's `methods`.",
        ),
        Option(
            "corruption",
            _ATTACKING,
            _text,
            _TEXT,
            "What else is done to the picture: one of the model's `corruptions`, one of their groups, or \"all\".",
            repeatable=True,
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
    if len(sent) > MAX_VALUES:
        raise InvalidRequestError(f"{option.name} may have at most {MAX_VALUES} values.", field=option.name)
    try:
        read = tuple(option.read(value) for value in sent)
    except ValueError as exc:
        raise InvalidRequestError(f"{option.name} {exc}.", field=option.name) from None
    return read if option.repeatable else read[0]
