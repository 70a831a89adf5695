"""What `Client` needs of a transport."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from whybox.v1 import AnalyzeRequest, AnalyzeResponse, GetModelRequest, ListModelsResponse, Model

# Of a request or an answer; a request with a larger picture is refused before it is sent.
MAX_MESSAGE_BYTES = 32 * 2**20
REQUEST_ID = "x-request-id"


@dataclass(frozen=True)
class Call:
    """What one call carries beside its message: the seconds it may take, and its id."""

    timeout: float
    request_id: str


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

    def close(self) -> None:
        """Gives the connections back; no call may follow."""
