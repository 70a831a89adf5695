"""The REST transport."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from google.longrunning.operations_proto_pb2 import Operation
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.rpc import code_pb2

from whybox._transports.failures import no_operations, no_studies, not_whybox, too_large, too_late, traced, unreachable
from whybox._transports.proxies import is_direct
from whybox._transports.transport import Call
from whybox._transports.trust import Trust
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
from whybox.v1.errors import (
    DeadlineExceededError,
    NotFoundError,
    QuotaExceededError,
    UnavailableError,
    WhyboxError,
    error_for,
)
from whybox.v1.request_ids import HEADER
from whybox.v1.vocabulary import AUDIT_FORMATS

_MessageT = TypeVar("_MessageT", bound=Message)

_JSON = "application/json"
_LINES = "application/x-ndjson"
_PROBLEM = "application/problem+json"
_STUDIES = "v1/studies"
# The reason of a path at which a server of Whybox has nothing.
_UNKNOWN_PATH = "UNKNOWN_PATH"
# Errors that a proxy in front of Whybox may answer in its own words.
_TOO_LARGE = 413
_PROXY_ERRORS: dict[int, type[WhyboxError]] = {
    429: QuotaExceededError,
    502: UnavailableError,
    503: UnavailableError,
    504: DeadlineExceededError,
}


class RestTransport:
    """Calls the REST interface; requests and answers are the messages of the contract in protobuf's own JSON.

    Args:
        url: The server's address as the caller wrote it, with the path under which it is mounted.
        transport: What carries the requests instead of the network.
        trust: Files for TLS.

    Raises:
        OSError, ValueError: A file of `trust` cannot be used.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, trust: Trust | None = None) -> None:
        self._url = url
        parts = urlsplit(url)
        direct = is_direct(parts.hostname or "")
        # Without the environment there is no proxy; its certificates still count. Loading them takes a while.
        context = (trust or Trust()).context() if parts.scheme == "https" else True
        self._http = httpx.Client(base_url=url, transport=transport, trust_env=not direct, verify=context)

    def analyze(self, request: AnalyzeRequest, call: Call) -> AnalyzeResponse:
        """See `Transport`."""
        with self._errors(call), self._posted(request, call, accept=_JSON) as response:
            return self._read(AnalyzeResponse(), response)

    def stream(self, request: AnalyzeRequest, call: Call) -> Generator[AnalyzeResponse, None, None]:
        """See `Transport`."""
        with self._errors(call), self._posted(request, call, accept=_LINES) as response:
            self._check(response, _LINES)
            for line in response.iter_lines():
                answer = self._parsed(line, response)
                if "error" in answer:
                    raise _problem(answer["error"])
                yield self._filled(AnalyzeResponse(), answer, response)

    def start_analysis(self, request: AnalyzeRequest, call: Call) -> Operation:
        """See `Transport`."""
        params = {"async": "true"}
        with self._errors(call), self._posted(request, call, accept=_JSON, params=params) as response:
            return self._read(Operation(), response)

    def get_operation(self, name: str, call: Call) -> Operation:
        """See `Transport`."""
        return self._asked(Operation(), "GET", _operation(name), call)

    def wait_operation(self, name: str, call: Call) -> Operation:
        """See `Transport`."""
        params = {"timeout": str(call.timeout)}
        return self._asked(Operation(), "POST", f"{_operation(name)}:wait", call, params=params)

    def cancel_operation(self, name: str, call: Call) -> None:
        """See `Transport`."""
        self._asked(Empty(), "POST", f"{_operation(name)}:cancel", call)

    def delete_operation(self, name: str, call: Call) -> None:
        """See `Transport`."""
        self._asked(Empty(), "DELETE", _operation(name), call)

    def list_models(self, call: Call) -> ListModelsResponse:
        """See `Transport`."""
        with self._errors(call), self._sent("GET", "v1/models", call, accept=_JSON) as response:
            return self._read(ListModelsResponse(), response)

    def get_model(self, request: GetModelRequest, call: Call) -> Model:
        """See `Transport`."""
        path, params = _model(request)
        with self._errors(call), self._sent("GET", path, call, accept=_JSON, params=params) as response:
            return self._read(Model(), response)

    def list_audits(self, request: ListAuditsRequest, call: Call) -> ListAuditsResponse:
        """See `Transport`."""
        path, params = _model(request)
        with self._errors(call), self._sent("GET", f"{path}/audits", call, accept=_JSON, params=params) as response:
            return self._read(ListAuditsResponse(), response)

    def get_audit(self, request: GetAuditRequest, call: Call) -> bytes:
        """See `Transport`."""
        path, params = _model(request)
        path = f"{path}/audits/{_segment(request.audit)}"
        params = params | {"format": request.format}
        kind = AUDIT_FORMATS[request.format]
        with self._errors(call), self._sent("GET", path, call, accept=kind, params=params) as response:
            self._check(response, kind)
            return response.read()

    def list_studies(self, call: Call) -> ListStudiesResponse:
        """See `Transport`."""
        with self._study_errors(call), self._sent("GET", _STUDIES, call, accept=_JSON) as response:
            return self._read(ListStudiesResponse(), response)

    def get_study(self, request: GetStudyRequest, call: Call) -> StudyStatus:
        """See `Transport`."""
        path = f"{_STUDIES}/{_segment(request.study)}"
        with self._study_errors(call), self._sent("GET", path, call, accept=_JSON) as response:
            return self._read(StudyStatus(), response)

    def get_study_results(self, request: GetStudyResultsRequest, call: Call) -> bytes:
        """See `Transport`."""
        path, params = f"{_STUDIES}/{_segment(request.study)}/results", {"timeout": str(call.timeout)}
        with self._study_errors(call), self._sent("GET", path, call, accept=_JSON, params=params) as response:
            self._check(response, _JSON)
            return response.read()

    def invite_annotators(self, request: InviteAnnotatorsRequest, call: Call) -> InviteAnnotatorsResponse:
        """See `Transport`."""
        path = f"{_STUDIES}/{_segment(request.study)}/invitations"
        body = json_format.MessageToDict(request, preserving_proto_field_name=True)
        # The path names the study already.
        body.pop("study", None)
        with self._study_errors(call), self._sent("POST", path, call, accept=_JSON, json=body) as response:
            return self._read(InviteAnnotatorsResponse(), response)

    def close(self) -> None:
        """See `Transport`."""
        self._http.close()

    @contextmanager
    def _posted(
        self, request: AnalyzeRequest, call: Call, *, accept: str, params: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        path = f"v1/models/{_segment(request.model)}:analyze"
        body = json_format.MessageToDict(request, preserving_proto_field_name=True)
        # The path names the model already.
        body.pop("model", None)
        # The server counts the time too, so that it ends its work when the caller stops waiting.
        params = {"timeout": str(call.timeout)} if params is None else params
        with self._sent("POST", path, call, accept=accept, params=params, json=body) as response:
            yield response

    @contextmanager
    def _sent(self, method: str, path: str, call: Call, *, accept: str, **content: Any) -> Iterator[httpx.Response]:
        headers = {"accept": f"{accept}, {_PROBLEM}", HEADER: call.request_id}
        if call.authorization is not None:
            headers["authorization"] = call.authorization
        with self._http.stream(method, path, headers=headers, timeout=call.patience, **content) as response:
            yield response

    @contextmanager
    def _errors(self, call: Call) -> Iterator[None]:
        try:
            yield
        except WhyboxError as error:
            traced(error, call)
            raise
        except httpx.TimeoutException as error:
            raise traced(too_late(self._url, call), call) from error
        except httpx.RequestError as error:
            raise traced(unreachable(self._url, str(error) or type(error).__name__), call) from error

    def _asked(self, message: _MessageT, method: str, path: str, call: Call, **content: Any) -> _MessageT:
        """What a path about operations answers."""
        with self._missing(no_operations, call), self._sent(method, path, call, accept=_JSON, **content) as response:
            return self._read(message, response)

    def _study_errors(self, call: Call) -> AbstractContextManager[None]:
        return self._missing(no_studies, call)

    @contextmanager
    def _missing(self, told: Callable[[str], WhyboxError], call: Call) -> Iterator[None]:
        """As `_errors`, where a server of Whybox may lack the paths."""
        with self._errors(call):
            try:
                yield
            except NotFoundError as error:
                if error.reason != _UNKNOWN_PATH:
                    raise
                raise told(self._url) from error

    def _read(self, message: _MessageT, response: httpx.Response) -> _MessageT:
        self._check(response, _JSON)
        return self._filled(message, self._parsed(response.read(), response), response)

    def _check(self, response: httpx.Response, expected: str) -> None:
        """Raises unless the answer is a good one of the expected type."""
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.is_success and media_type == expected:
            return
        if media_type == _PROBLEM:
            raise _problem(self._parsed(response.read(), response))
        answer = f"{response.status_code} {response.reason_phrase}"
        if response.status_code == _TOO_LARGE:
            raise too_large(self._url, answer)
        if response.status_code in _PROXY_ERRORS:
            raise _PROXY_ERRORS[response.status_code](f"a proxy of {self._url} answered {answer}; try again later")
        raise self._foreign(response, f"with {media_type or 'no content type'}")

    def _parsed(self, text: str | bytes, response: httpx.Response) -> dict[str, Any]:
        try:
            parsed = json.loads(text)
        except ValueError as error:
            raise self._foreign(response, f"with broken JSON ({error})") from error
        if not isinstance(parsed, dict):
            raise self._foreign(response, "with JSON that is no object")
        return parsed

    def _filled(self, message: _MessageT, parsed: dict[str, Any], response: httpx.Response) -> _MessageT:
        try:
            # A newer server may say more, as on gRPC.
            return json_format.ParseDict(parsed, message, ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise self._foreign(response, f"with JSON that is no {message.DESCRIPTOR.name} ({error})") from error

    def _foreign(self, response: httpx.Response, how: str) -> WhyboxError:
        return not_whybox(self._url, f"it answered {response.status_code} {response.reason_phrase} {how}")


def _segment(name: str) -> str:
    """A name as one segment of a path; dots alone would lead to another path."""
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe="")


def _operation(name: str) -> str:
    """The path of an operation."""
    return f"v1/operations/{_segment(name.removeprefix('operations/'))}"


def _model(request: GetModelRequest | ListAuditsRequest | GetAuditRequest) -> tuple[str, dict[str, str]]:
    """Path and query of what a request asks about a model."""
    path = f"v1/models/{_segment(request.model)}"
    return path, {"version": request.version} if request.version else {}


def _problem(problem: dict[str, Any]) -> WhyboxError:
    """The exception that stands for an RFC 9457 problem of Whybox."""
    name = problem.get("code", "")
    code = code_pb2.Code.Value(name) if name in code_pb2.Code.keys() else code_pb2.UNKNOWN  # noqa: SIM118  no mapping
    reason = problem.get("reason")
    errors = problem.get("errors") or [{}]
    return error_for(code, reason)(
        problem.get("detail") or problem.get("title", ""),
        reason=reason,
        field=errors[0].get("field"),
        retry_after=problem.get("retry_after"),
        missing=problem.get("missing") or (),
    )
