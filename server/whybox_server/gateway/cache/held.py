"""Values by key, bounded in bytes; the least recently used leave first."""

from collections import OrderedDict

ENTRY_BYTES = 320
"""Memory of an entry beside its value: a key of 32 bytes, the headers of both, and their place in the table."""


class Held:
    """Values and their keys.

    Args:
        max_bytes: Bound of `bytes`.

    Attributes:
        bytes: What the entries take: the lengths of their values, and `ENTRY_BYTES` for each.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._values)

    def get(self, key: bytes) -> bytes | None:
        """The value, which counts as used; None if there is none."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> int:
        """Keeps a value in place of an older one, and returns how many others left for it.

        A value that is larger than the bound is not kept, and nothing leaves for it.
        """
        self.drop(key)
        if _taken(value) > self._max_bytes:
            return 0
        self._values[key] = value
        self.bytes += _taken(value)
        left = 0
        while self.bytes > self._max_bytes:
            _, oldest = self._values.popitem(last=False)
            self.bytes -= _taken(oldest)
            left += 1
        return left

    def drop(self, key: bytes) -> None:
        """Forgets a value, if there is one."""
        value = self._values.pop(key, None)
        if value is not None:
            self.bytes -= _taken(value)


def _taken(value: bytes) -> int:
    return ENTRY_BYTES + len(value)
