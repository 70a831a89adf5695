"""What `Client` needs of a transport."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from whybox.v1 import (
    AnalyzeRequest,
    AnalyzeResponse,
    GetAuditRequest,
    GetModelRequest,
    ListAuditsRequest,
    ListAuditsResponse,
    ListModelsResponse,
    Model,
)
from whybox.v1.request_ids import is_usable, new_request_id

MAX_SECONDS = 1_000_000
"""Longest timeout of a call: the systems that wait for sockets count milliseconds in 32 bits."""

_TRAVEL_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """What one call carries beside its message.

    Attributes:
        timeout: Seconds that the call may take, above 0, at most `MAX_SECONDS`.
        request_id: Id of the call; a new one unless given.

    Raises:
        ValueError: The server would not take over `request_id`.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)

    def __post_init__(self) -> None:
        if not is_usable(self.request_id):
            raise ValueError(f"request_id must be 1 to 128 characters of A-Z a-z 0-9 . _ -, not {self.request_id!r}")

    @property
    def patience(self) -> float:
        """Seconds after which the client gives up: the answer, which the server times to `timeout`, has to travel."""
        return self.timeout + _TRAVEL_SECONDS


class Transport(Protocol):
    """One way to reach the service. Methods raise only exceptions of `whybox.v1.errors`, and may run in parallel."""

    def analyze(self, request: AnalyzeRequest, call: Call) -> AnalyzeResponse:
        """All parts in one answer."""

    def stream(self, request: AnalyzeRequest, call: Call) -> Generator[AnalyzeResponse, None, None]:
        """One answer per part as soon as that part is ready; closing the generator ends the call."""

    def list_models(self, call: Call) -> ListModelsResponse:
        """The served models, without their labels."""

    def get_model(self, request: GetModelRequest, call: Call) -> Model:
        """One model with its labels."""

    def list_audits(self, request: ListAuditsRequest, call: Call) -> ListAuditsResponse:
        """The audits of a model."""

    def get_audit(self, request: GetAuditRequest, call: Call) -> bytes:
        """A file of an audit; the request names its format."""

    def close(self) -> None:
        """Closes the connections; no call may follow."""
