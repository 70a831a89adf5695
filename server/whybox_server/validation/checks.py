"""What checks of requests share: errors that name the field and what would be right."""

import difflib
from collections.abc import Collection, Iterable

from whybox.v1.errors import InvalidRequestError

_MAX_QUOTED = 60
# Comparing takes time that grows with the length of the name.
_COMPARED = 100


def quoted(text: str) -> str:
    """What a caller sent, for a message; shortened, because messages travel in headers."""
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")


def printable(text: str) -> str:
    """A text on one line of a terminal: line ends, controls and marks of direction are escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def check_distinct(field: str, values: Collection[str]) -> None:
    """Raises InvalidRequestError where a value is given twice."""
    if len(set(values)) < len(values):
        raise InvalidRequestError(f"{field} names something twice; name each once", field=field)


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str:
    """A question that offers the most similar known names, the most similar first.

    Args:
        name: The unknown name; only its first 100 characters are compared.
        known: The names to choose from.
        n: The most names to offer, at least 1.

    Returns:
        For example "did you mean 'tench' or 'tent'?"; "" if no known name is similar enough.
    """
    similar = difflib.get_close_matches(name[:_COMPARED], list(known), n=n)
    return f"did you mean {' or '.join(map(repr, similar))}?" if similar else ""
