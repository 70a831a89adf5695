"""The memory that the bodies of requests take, all together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from whybox.v1.errors import OverloadedError

_RETRY_AFTER = 1.0


class Bodies:
    """Bounds the bytes of bodies in flight.

    Args:
        limit: Bytes of all bodies together.

    Attributes:
        limit: See above.
        held: Bytes now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    @contextmanager
    def arriving(self) -> Iterator[Callable[[int], None]]:
        """Around a call: gives what to tell of each number of bytes that has arrived, which is given back at the end.

        That raises OverloadedError if there is no room for them.
        """
        own = 0

        def arrived(number: int) -> None:
            nonlocal own
            if self.held + number > self.limit:
                raise OverloadedError(
                    f"the bodies of requests in flight have more than {self.limit:,} bytes together; try again in a"
                    " moment, or send a smaller picture",
                    reason="BODIES_FULL",
                    retry_after=_RETRY_AFTER,
                )
            own += number
            self.held += number

        try:
            yield arrived
        finally:
            self.held -= own
