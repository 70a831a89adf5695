"""Suggestions for a name that is not known: the known names that resemble it."""

import difflib
from collections.abc import Iterable

# Comparing takes time that grows with the length of the name.
_COMPARED = 100


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
