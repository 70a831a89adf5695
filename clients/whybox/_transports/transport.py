"""What `Client` needs of a transport."""

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from whybox.v1 import AnalyzeRequest, AnalyzeResponse, GetModelRequest, ListModelsResponse, Model
from whybox.v1.request_ids import is_usable, new_request_id

_TRAVEL_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """What one call carries beside its message.

    Attributes:
        timeout: Seconds that the call may take.
        request_id: Id of the call; a new one unless given.

    Raises:
        ValueError: `timeout` is not positive and finite, or the server would not take over `request_id`.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)

    def __post_init__(self) -> None:
        if not (self.timeout > 0 and math.isfinite(self.timeout)):
            raise ValueError(f"timeout must be a positive number of seconds, not {self.timeout!r}")
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

    def close(self) -> None:
        """Closes the connections; no call may follow."""
