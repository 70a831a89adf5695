"""What ends a pass before all pictures are measured."""

import signal


class AuditError(Exception):
    """The audit cannot go on; the message says what to do."""


class InterruptedAuditError(Exception):
    """A signal stopped the audit.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number
