"""What a caller may have meant by a name that is not known."""

import difflib
from collections.abc import Iterable

# Comparing longer names takes time, and finds nothing.
_COMPARED = 100


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str:
    """A question such as "did you mean 'fog' or 'frost'?"; empty where no known name is near.

    Args:
        name: As it was sent; its first 100 characters are compared.
        known: The names that there are.
        n: At most how many are named.
    """
    near = [repr(each) for each in difflib.get_close_matches(name[:_COMPARED], list(known), n=n)]
    return f"did you mean {' or '.join(near)}?" if near else ""
