"""Values that a type allows to be absent."""

from typing import TypeVar

ValueT = TypeVar("ValueT")


def present(value: ValueT | None) -> ValueT:
    """The value, which the test knows to be there."""
    assert value is not None
    return value
