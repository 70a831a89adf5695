"""Which kind of answer a caller prefers (Accept, RFC 9110)."""

import re
from collections.abc import Iterable

JSON = "application/json"

_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


def preferred(accept: Iterable[str], kinds: Iterable[str]) -> str:
    """The kind of answer to send.

    Args:
        accept: The values of the Accept headers.
        kinds: Media types that the answer can have beside JSON, in lower case.

    Returns:
        The kind with the highest weight. Another kind than JSON comes first at equal weights where the caller names it
        no less exactly. JSON is sent to a caller who names nothing that there is.
    """
    ranges = _ranges(accept)
    best, weight, exactness = JSON, *_weight(JSON, ranges)
    for kind in kinds:
        weight_of_kind, exactness_of_kind = _weight(kind, ranges)
        # */* alone asks for no picture.
        if exactness_of_kind > 0 and weight_of_kind > 0 and (weight_of_kind, exactness_of_kind) >= (weight, exactness):
            best, weight, exactness = kind, weight_of_kind, exactness_of_kind
    return best


def accepts(accept: Iterable[str], kind: str) -> bool:
    """Whether a caller takes a kind of answer; one who says nothing takes every kind.

    Args:
        accept: The values of the Accept headers.
        kind: A media type in lower case.
    """
    ranges = _ranges(accept)
    return not ranges or _weight(kind, ranges)[0] > 0


def _ranges(accept: Iterable[str]) -> list[tuple[str, float]]:
    """The media ranges of the Accept headers with their weights."""
    return [_weighted(each) for value in accept for each in value.split(",") if each.strip()]


def _weighted(text: str) -> tuple[str, float]:
    """A media range and its weight, for example ("image/*", 0.5); a weight that is none counts as 1."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    weights = [value.strip() for part in parameters for key, _, value in [part.partition("=")] if key.strip() == "q"]
    return name, float(weights[0]) if weights and _WEIGHT.fullmatch(weights[0]) else 1.0


def _weight(kind: str, ranges: Iterable[tuple[str, float]]) -> tuple[float, int]:
    """The weight of a kind and how exactly it is named: 2 by itself, 1 by its type, 0 by */* or not at all."""
    names = {kind: 2, f"{kind.partition('/')[0]}/*": 1, "*/*": 0}
    found = [(names[name], weight) for name, weight in ranges if name in names]
    if not found:
        return 0.0, 0
    exactness = max(found)[0]
    return max(weight for exact, weight in found if exact == exactness), exactness
