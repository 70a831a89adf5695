"""What checks of requests share: errors that name the field and what would be right."""

from collections.abc import Collection, Iterable

from whybox.v1.errors import InvalidRequestError

_MAX_QUOTED = 60


def quoted(text: str) -> str:
    """What a caller sent, for a message; shortened, because messages travel in headers."""
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")


def check_range(field: str, value: float, low: float, high: float) -> None:
    """Raises InvalidRequestError unless `low` <= value <= `high`."""
    if not low <= value <= high:
        raise InvalidRequestError(f"{field} is {value}; it must be {low} to {high}", field=field)


def check_known(field: str, value: str, known: Iterable[str]) -> None:
    """Raises InvalidRequestError, with the known names, unless `value` is one of them."""
    if value not in known:
        raise InvalidRequestError(f"{field}: {quoted(value)} is not known; use one of {', '.join(known)}", field=field)


def check_distinct(field: str, values: Collection[str]) -> None:
    """Raises InvalidRequestError where a value is given twice."""
    if len(set(values)) < len(values):
        raise InvalidRequestError(f"{field} names something twice; name each once", field=field)
