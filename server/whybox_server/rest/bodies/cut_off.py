"""Requests whose caller stops sending in the middle of the body, and still listens."""

from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_CUT_OFF = "cut_off"


class CutOffProtocol(H11Protocol):
    """HTTP/1.1 that lets the application answer a body which ends early.

    The protocol of uvicorn closes the connection as soon as the caller has sent its last byte, so that a caller who
    has closed its half of the connection never learns what was wrong. The application asks `is_cut_off`. TLS has no
    halves: what ends there ends whole.
    """

    def eof_received(self) -> bool | None:  # type: ignore[override] # uvicorn narrows what asyncio allows
        """See `asyncio.Protocol`: true keeps the connection until the answer is sent."""
        cycle = self.cycle
        # A whole request is left to uvicorn: the end of its connection is how a caller hangs up.
        if cycle is None or cycle.response_complete or not cycle.more_body or self.scheme == "https":
            return None
        cycle.scope.setdefault("state", {})[_CUT_OFF] = True
        cycle.more_body = False
        cycle.keep_alive = False
        cycle.message_event.set()
        return True


def is_cut_off(scope: MutableMapping[str, Any]) -> bool:
    """Whether the caller stopped sending before the body was complete; where another protocol serves, never."""
    return bool(scope.get("state", {}).get(_CUT_OFF, False))
