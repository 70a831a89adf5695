"""Numbers of the page, each with the place that it comes from, so that a test can look all of them up."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

NONE = "\N{EN DASH}"
"""What stands for a number that is not known."""

FORMATS: Mapping[str, Callable[[float], str]] = {
    "count": lambda value: f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
    "signed": lambda value: f"{value:+.2f}",
    "small": lambda value: f"{value:+.2g}",
    "short": lambda value: f"{value:.2g}",
    "plain": lambda value: f"{value:g}",
    "size": lambda value: f"{value:.3g}",
    "share": lambda value: f"{value:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
    "percent": lambda value: f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%"),
    "ratio": lambda value: f"{value:.2f}",
}
"""How a number is written, by the name of the format."""


class Citations:
    """Writes numbers with their places.

    Args:
        source: JSON values.
    """

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def __call__(self, place: str, form: str = "count", *, none: str = NONE, **where: str) -> Markup:
        """A number as HTML: `<data value="0.25" data-from="/flags/0/effect">+0.25</data>`.

        Args:
            place: The JSON pointer (RFC 6901) of a number, or of a list, whose entries are counted.
            form: One of `FORMATS`.
            none: What stands for null.
            where: Fields that counted entries have, with their values.
        """
        value = self.value(place, **where)
        if value is None or not math.isfinite(value):
            return Markup("{}").format(none)
        condition = Markup("").join(
            Markup(' data-where="{}={}"').format(name, wanted) for name, wanted in where.items()
        )
        return Markup('<data value="{}" data-from="{}"{}>{}</data>').format(
            repr(value), place, condition, FORMATS[form](value)
        )

    def words(self, place: str, shown: str | None = None) -> Markup:
        """A text as HTML: `<span data-from="/flags/0/attribute">wheelchair</span>`.

        Args:
            place: The JSON pointer of a text.
            shown: What of it is shown. Default: all of it.
        """
        return Markup('<span data-from="{}">{}</span>').format(place, self._at(place) if shown is None else shown)

    def text(self, place: str) -> str:
        """The text at a place."""
        return str(self._at(place))

    def value(self, place: str, **where: str) -> float | None:
        """The number that `__call__` writes; None for null."""
        found = self._at(place)
        if isinstance(found, Sequence) and not isinstance(found, str):
            return sum(all(entry[name] == wanted for name, wanted in where.items()) for entry in found)
        if found is not None and not isinstance(found, int | float):
            raise TypeError(f"{place} is no number")
        return found

    def _at(self, place: str) -> Any:
        found: Any = self._source
        for key in place.split("/")[1:]:
            found = found[int(key)] if isinstance(found, Sequence) else found[key]
        return found
