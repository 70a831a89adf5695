"""What checks of requests share: errors that name the field and what would be right."""

from collections.abc import Collection

from whybox.v1.errors import InvalidRequestError

_MAX_QUOTED = 60


def quoted(text: str) -> str:
    """What a caller sent, for a message; shortened, because messages travel in headers."""
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")


def check_distinct(field: str, values: Collection[str]) -> None:
    """Raises InvalidRequestError where a value is given twice."""
    if len(set(values)) < len(values):
        raise InvalidRequestError(f"{field} names something twice; name each once", field=field)
