"""The signals that stop a pass."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from whybox_server.audits.passes.errors import InterruptedAuditError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Notes the signals that stop a process, so that they raise an exception only where nothing is half done."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._raises = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handles the signals inside the block; restores the handlers afterwards."""
        before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raises InterruptedAuditError inside the block as soon as a signal arrives, for waits without a timeout."""
        self._raises = True
        try:
            self.check()
            yield
        finally:
            self._raises = False

    def check(self) -> None:
        """Raises InterruptedAuditError if a signal has arrived."""
        if self._number is not None:
            raise InterruptedAuditError(self._number)

    def _note(self, number: int, _frame: object) -> None:
        self._number = number
        if self._raises:
            self._raises = False
            raise InterruptedAuditError(number)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restores the handlers of the signals after the block, in which a library may set its own."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Blocks the signals in processes started inside the block.

    Ctrl-C reaches all processes of a terminal, and only this one must handle it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
