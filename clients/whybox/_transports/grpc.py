"""The gRPC transport."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.longrunning import operations_proto_pb2 as operations_pb
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.longrunning.operations_proto_pb2 import Operation
from google.protobuf.message import Message
from grpc_status import rpc_status

from whybox._transports.failures import no_operations, no_studies, not_whybox, too_large, too_late, traced, unreachable
from whybox._transports.proxies import is_direct
from whybox._transports.transport import Call
from whybox._transports.trust import Trust
from whybox.options import MAX_MESSAGE_BYTES
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
    ListModelsRequest,
    ListModelsResponse,
    ListStudiesRequest,
    ListStudiesResponse,
    Model,
    StudyStatus,
)
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub
from whybox.v1.errors import WhyboxError, error_for, error_from_status
from whybox.v1.request_ids import HEADER
from whybox.v1.studies_pb2_grpc import StudyServiceStub
from whybox.v1.vocabulary import RESPONSE_BYTES_KEY, TIMEOUT_KEY

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
# Codes with which another gRPC server answers an unknown call; Whybox never does.
_FOREIGN = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN})


class GrpcTransport:
    """Calls the services of `whybox.v1`, and `google.longrunning.Operations`, over one HTTP/2 connection.

    Args:
        url: The server's address as the caller wrote it; errors name it.
        target: "host:port".
        trust: Files for TLS; None speaks plain text.

    Raises:
        OSError, ValueError: A file of `trust` cannot be used.
    """

    def __init__(self, url: str, target: str, trust: Trust | None = None) -> None:
        self._url = url
        host = urlsplit(f"//{target}").hostname or ""
        # gRPC reads the environment's proxies itself, but knows neither loopback nor `*` as exceptions.
        options = (*_OPTIONS, ("grpc.enable_http_proxy", 0)) if is_direct(host) else _OPTIONS
        if trust is None:
            self._channel = grpc.insecure_channel(target, options=options)
        else:
            self._channel = grpc.secure_channel(target, trust.credentials(), options=options)
        self._stub = AnalysisServiceStub(self._channel)
        self._studies = StudyServiceStub(self._channel)
        self._operations = OperationsStub(self._channel)

    def analyze(self, request: AnalyzeRequest, call: Call) -> AnalyzeResponse:
        """See `Transport`."""
        with self._errors(call):
            return self._stub.Analyze(request, timeout=call.patience, metadata=_metadata(call))

    def stream(self, request: AnalyzeRequest, call: Call) -> Generator[AnalyzeResponse, None, None]:
        """See `Transport`."""
        with self._errors(call):
            answers = self._stub.StreamAnalysis(request, timeout=call.patience, metadata=_metadata(call))
            try:
                yield from answers
            finally:
                # A caller that stops reading frees the server.
                answers.cancel()

    def start_analysis(self, request: AnalyzeRequest, call: Call) -> Operation:
        """See `Transport`."""
        with self._errors(call):
            return self._stub.StartAnalysis(request, timeout=call.patience, metadata=_metadata(call))

    def get_operation(self, name: str, call: Call) -> Operation:
        """See `Transport`."""
        request = operations_pb.GetOperationRequest(name=name)
        return self._asked(self._operations.GetOperation, request, call)

    def wait_operation(self, name: str, call: Call) -> Operation:
        """See `Transport`."""
        request = operations_pb.WaitOperationRequest(name=name)
        return self._asked(self._operations.WaitOperation, request, call)

    def cancel_operation(self, name: str, call: Call) -> None:
        """See `Transport`."""
        self._asked(self._operations.CancelOperation, operations_pb.CancelOperationRequest(name=name), call)

    def delete_operation(self, name: str, call: Call) -> None:
        """See `Transport`."""
        self._asked(self._operations.DeleteOperation, operations_pb.DeleteOperationRequest(name=name), call)

    def list_models(self, call: Call) -> ListModelsResponse:
        """See `Transport`."""
        with self._errors(call):
            return self._stub.ListModels(ListModelsRequest(), timeout=call.patience, metadata=_metadata(call))

    def get_model(self, request: GetModelRequest, call: Call) -> Model:
        """See `Transport`."""
        with self._errors(call):
            return self._stub.GetModel(request, timeout=call.patience, metadata=_metadata(call))

    def list_audits(self, request: ListAuditsRequest, call: Call) -> ListAuditsResponse:
        """See `Transport`."""
        with self._errors(call):
            return self._stub.ListAudits(request, timeout=call.patience, metadata=_metadata(call))

    def get_audit(self, request: GetAuditRequest, call: Call) -> bytes:
        """See `Transport`."""
        with self._errors(call):
            pieces = self._stub.GetAudit(request, timeout=call.patience, metadata=_metadata(call))
            return b"".join(piece.data for piece in pieces)

    def list_studies(self, call: Call) -> ListStudiesResponse:
        """See `Transport`."""
        with self._study_errors(call):
            return self._studies.ListStudies(ListStudiesRequest(), timeout=call.patience, metadata=_metadata(call))

    def get_study(self, request: GetStudyRequest, call: Call) -> StudyStatus:
        """See `Transport`."""
        with self._study_errors(call):
            return self._studies.GetStudy(request, timeout=call.patience, metadata=_metadata(call))

    def get_study_results(self, request: GetStudyResultsRequest, call: Call) -> bytes:
        """See `Transport`."""
        with self._study_errors(call):
            return self._studies.GetStudyResults(request, timeout=call.patience, metadata=_metadata(call)).json

    def invite_annotators(self, request: InviteAnnotatorsRequest, call: Call) -> InviteAnnotatorsResponse:
        """See `Transport`."""
        with self._study_errors(call):
            return self._studies.InviteAnnotators(request, timeout=call.patience, metadata=_metadata(call))

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    @contextmanager
    def _errors(self, call: Call) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise traced(self._translated(error, call), call) from error

    def _asked(self, method: Any, request: Message, call: Call) -> Any:
        """What a method about operations answers."""
        with self._missing(no_operations, call):
            return method(request, timeout=call.patience, metadata=_metadata(call))

    def _study_errors(self, call: Call) -> AbstractContextManager[None]:
        return self._missing(no_studies, call)

    @contextmanager
    def _missing(self, told: Callable[[str], WhyboxError], call: Call) -> Iterator[None]:
        """As `_errors`, where a server of Whybox may lack the service."""
        with self._errors(call):
            try:
                yield
            except grpc.RpcError as error:
                # See `_translated`.
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                raise traced(told(self._url), call) from error

    def _translated(self, error: grpc.RpcError, call: Call) -> WhyboxError:
        # Every RpcError that a stub raises is a Call as well; the type system does not say so.
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        if status is not None:
            return error_from_status(status)
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return unreachable(self._url, details)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return too_late(self._url, call)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            # Whybox's own quotas come with a status; without a status it is gRPC's limit on the size of a message.
            return _too_many_bytes(self._url, details)
        if code in _FOREIGN:
            return not_whybox(self._url, f"{code.name}: {details}")
        return error_for(code.value[0], None)(f"{self._url}: {details}")


def _too_many_bytes(url: str, details: str) -> WhyboxError:
    if "CLIENT:" in details:
        return WhyboxError(
            f"{url} answers with more than {MAX_MESSAGE_BYTES >> 20} MiB; ask for fewer maps, or for uint8 alone",
            reason="ANSWER_TOO_LARGE",
        )
    return too_large(url, details)


def _metadata(call: Call) -> tuple[tuple[str, str], ...]:
    key = () if call.authorization is None else (("authorization", call.authorization),)
    return (
        (HEADER, call.request_id),
        (TIMEOUT_KEY, f"{call.timeout:.3f}"),
        (RESPONSE_BYTES_KEY, str(MAX_MESSAGE_BYTES)),
        *key,
    )
