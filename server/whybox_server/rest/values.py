"""The values of options that a request carries, in its query and in its body."""

from collections.abc import Iterable
from typing import Any

from whybox import v1
from whybox.v1.errors import InvalidRequestError
from whybox_server.validation.options import Option

MAX_VALUES = 100
"""At most how many values an option may have: more than any can use, and few enough to copy them for every map."""

Sent = Iterable[tuple[str, object]]
"""Names and values as they were sent, in order."""


def read_values(
    allowed: Iterable[Option[Any]], query: Sent, body: Sent = (), model: v1.Model | None = None
) -> dict[str, Any]:
    """The values that were given, by the name of their option; a repeatable option has a tuple.

    Args:
        allowed: The options that may be given here.
        query: What the query carries.
        body: What the body carries.
        model: The model that is asked, whose ranges are named in errors; None where no model is.

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
                raise InvalidRequestError(f"unknown option {name!r}; known here: {takes}", field=name)
            if name in values:
                raise InvalidRequestError(f"{name} is given twice, in the query and in the body", field=name)
            values[name] = _read(known[name], sent, model)
    return values


def _read(option: Option[Any], sent: list[object], model: v1.Model | None) -> object:
    if len(sent) > 1 and not option.repeatable:
        raise InvalidRequestError(f"{option.name} is given twice; give it once", field=option.name)
    if len(sent) > MAX_VALUES:
        raise InvalidRequestError(f"{option.name} may have at most {MAX_VALUES} values", field=option.name)
    try:
        read = tuple(option.read(value, model) for value in sent)
    except ValueError as exc:
        raise InvalidRequestError(f"{option.name} {exc}", field=option.name) from None
    return read if option.repeatable else read[0]
