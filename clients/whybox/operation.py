"""An analysis that goes on at the server while the caller does something else."""

import math
import time
from collections.abc import Callable
from typing import Final

from google.longrunning.operations_proto_pb2 import Operation as Message

from whybox._messages.fields import malformed
from whybox._messages.reading import read_analysis
from whybox._transports.transport import Call, Transport
from whybox.arguments import number
from whybox.results import Analysis
from whybox.v1 import AnalysisMetadata, AnalyzeResponse
from whybox.v1.errors import DeadlineExceededError, error_from_status

# What one call waits for, at most: proxies end calls that are silent for longer.
_WAIT_SECONDS = 30.0


class Operation:
    """An operation of `Client.start_analysis`. Its methods raise NotFoundError once the server has forgotten it.

    Attributes:
        name: "operations/ID", with which `Client.operation` finds it again.
    """

    def __init__(
        self, message: Message, transport: Transport, call: Callable[[float | None], Call], picture: bytes = b""
    ) -> None:
        self.name: Final = message.name
        self._message = message
        self._transport = transport
        self._call = call
        self._picture = picture

    def __repr__(self) -> str:
        return f"<Operation {self.name}: {self.state}>"

    @property
    def state(self) -> str:
        """How far it is, as the server last said: "waiting", "running", "succeeded", "failed" or "cancelled"."""
        told = AnalysisMetadata()
        self._message.metadata.Unpack(told)
        return told.state

    def done(self) -> bool:
        """Whether it has ended, in whichever way; asks the server until it has."""
        if not self._message.done:
            self._message = self._transport.get_operation(self.name, self._call(None))
        return bool(self._message.done)

    def result(self, timeout: float | None = None) -> Analysis:
        """The analysis, once the operation has ended.

        Args:
            timeout: Seconds to wait for it, at least 0; None for as long as it takes.

        Raises:
            DeadlineExceededError: It has not ended yet; a later call gets it.
            WhyboxError: The operation failed, was cancelled (CancelledError), or the server cannot be reached.
        """
        end = math.inf if timeout is None else time.monotonic() + number("timeout", timeout, what="a number of seconds")
        while not self._message.done:
            seconds = min(_WAIT_SECONDS, max(end - time.monotonic(), 0.001))
            self._message = self._transport.wait_operation(self.name, self._call(seconds))
            if not self._message.done and time.monotonic() >= end:
                raise DeadlineExceededError(f"{self.name} has not ended within {timeout:g} s; ask again later")
        if self._message.HasField("error"):
            raise error_from_status(self._message.error)
        answer = AnalyzeResponse()
        if not self._message.response.Unpack(answer):
            raise malformed("lacks the analysis of an operation that has ended")
        return read_analysis(answer, self._picture)

    def cancel(self) -> None:
        """Ends it; one that has ended stays as it is."""
        self._transport.cancel_operation(self.name, self._call(None))

    def delete(self) -> None:
        """Ends it, and makes the server forget it with its result."""
        self._transport.delete_operation(self.name, self._call(None))
