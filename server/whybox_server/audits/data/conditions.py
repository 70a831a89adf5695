"""Conditions on the rows of a table, as `--where` gives them."""

import re
from dataclasses import dataclass
from typing import Self

from whybox_server.audits.data.errors import DataSetError


@dataclass(frozen=True)
class Condition:
    """Which rows are kept.

    Attributes:
        column: Name of a column.
        equal: Whether the rows with the value are kept, or all others.
        value: The value as text; "" stands for an empty cell.
    """

    column: str
    equal: bool
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `COLUMN=VALUE` or `COLUMN!=VALUE`.

        Raises:
            DataSetError: The text is neither.
        """
        match = re.fullmatch(r"([^=!]+?)\s*(!?=)\s*(.*)", text.strip(), re.DOTALL)
        if match is None:
            raise DataSetError(f"--where {text!r} is no condition; write COLUMN=VALUE or COLUMN!=VALUE")
        return cls(match[1], match[2] == "=", match[3].strip())

    def __str__(self) -> str:
        return f"{self.column}{'' if self.equal else '!'}={self.value}"
