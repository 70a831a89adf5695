"""What `Client` needs of a transport."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from google.longrunning.operations_proto_pb2 import Operation

from whybox.v1 import (
    AnalyzeRequest,
    AnalyzeResponse,
    GetAuditRequest,
    GetModelRequest,
    GetStudyRequest,
    GetStudyResultsRequest,
    InviteAnnotatorsRequest,
    InviteAnnotatorsResponse,
    ListAuditsRequest,
    ListAuditsResponse,
    ListModelsResponse,
    ListStudiesResponse,
    Model,
    StudyStatus,
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
        key: Key of the caller; None for a caller without one.

    Raises:
        ValueError: The server would not take over `request_id`.
    """

    timeout: float
    request_id: str = field(default_factory=new_request_id)
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_usable(self.request_id):
            raise ValueError(f"request_id must be 1 to 128 characters of A-Z a-z 0-9 . _ -, not {self.request_id!r}")

    @property
    def authorization(self) -> str | None:
        """What a call with a key carries; None without one."""
        return None if self.key is None else f"Bearer {self.key}"

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

    def start_analysis(self, request: AnalyzeRequest, call: Call) -> Operation:
        """An operation that has begun."""

    def get_operation(self, name: str, call: Call) -> Operation:
        """How far an operation is, with its result."""

    def wait_operation(self, name: str, call: Call) -> Operation:
        """As `get_operation`, once the operation or the time of the call has ended."""

    def cancel_operation(self, name: str, call: Call) -> None:
        """Ends an operation."""

    def delete_operation(self, name: str, call: Call) -> None:
        """Ends an operation and forgets it."""

    def list_models(self, call: Call) -> ListModelsResponse:
        """The served models, without their labels."""

    def get_model(self, request: GetModelRequest, call: Call) -> Model:
        """One model with its labels."""

    def list_audits(self, request: ListAuditsRequest, call: Call) -> ListAuditsResponse:
        """The audits of a model."""

    def get_audit(self, request: GetAuditRequest, call: Call) -> bytes:
        """A file of an audit; the request names its format."""

    def list_studies(self, call: Call) -> ListStudiesResponse:
        """The studies."""

    def get_study(self, request: GetStudyRequest, call: Call) -> StudyStatus:
        """How far a study is."""

    def get_study_results(self, request: GetStudyResultsRequest, call: Call) -> bytes:
        """The results of a study: results.json."""

    def invite_annotators(self, request: InviteAnnotatorsRequest, call: Call) -> InviteAnnotatorsResponse:
        """Links for people."""

    def close(self) -> None:
        """Closes the connections; no call may follow."""
