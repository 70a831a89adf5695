"""The real transports of the server on loopback ports, over a gateway that answers what a test tells it to."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from typing import Any, cast

from server.backends import InTurn
from whybox import v1
from whybox.v1.errors import NotFoundError, WhyboxError
from whybox_server.access.certificates import Certificates
from whybox_server.access.checking import Access, Caller
from whybox_server.access.keys import Scope
from whybox_server.access.needs import Need
from whybox_server.gateway.audits import AuditFiles, audit_file, audits_of
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Choice, Deployment
from whybox_server.gateway.queueing.bodies import Bodies
from whybox_server.monitoring.metrics import Metrics
from whybox_server.operations.serving import Beside, beside
from whybox_server.rest import connections, create_app
from whybox_server.rest.connections import ConnectionsConfig
from whybox_server.rpc.encryption import server_credentials
from whybox_server.rpc.service import create_server
from whybox_server.settings import Settings
from whybox_server.studies.api import rest, rpc
from whybox_server.studies.api.core import StudyApi
from whybox_server.validation.operations import no_operations

MODELS = ("lite0", "lite2")
_LIMITS: dict[str, Any] = {"default_timeout": 30.0, "max_timeout": 120.0}
_START_SECONDS = 30


@dataclass
class FakeGateway:
    """What both transports answer, and what they were asked; a test changes it before it asks.

    Attributes:
        answers: What is sent; a single call gets all of them merged, a stream gets them one by one.
        error: Raised after the answers of a stream, and instead of the answer of a single call.
        models: The served models.
        files: The files of the audits of all models, by their format.
        holds: Whether calls wait until their callers hang up.
        requests: The requests so far.
        request_ids: Their ids.
        timeouts: The seconds that their callers wait, as the transports understood them.
        max_message_bytes: The largest messages that their callers take; infinite over REST.
        authorizations: What their callers sent as `authorization`, all calls included; all of them are let in.
    """

    answers: list[v1.AnalyzeResponse] = field(default_factory=list)
    error: WhyboxError | None = None
    models: list[v1.Model] = field(default_factory=lambda: [v1.Model(name=name, version="1.0") for name in MODELS])
    files: dict[str, bytes] = field(default_factory=dict)
    holds: bool = False
    requests: list[v1.AnalyzeRequest] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    max_message_bytes: list[float] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    bodies: Bodies = field(default_factory=lambda: Bodies(256 * 2**20))

    def reset(self, answer: v1.AnalyzeResponse) -> None:
        """Forgets what earlier tests did; from now on `answer` is sent."""
        vars(self).update(vars(FakeGateway([answer])))

    @property
    def sent(self) -> v1.AnalyzeRequest:
        """The only request so far."""
        [request] = self.requests
        return request

    async def stream(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: object = None,  # noqa: ARG002 (as a gateway)
        choice: object = None,  # noqa: ARG002 (as a gateway)
    ) -> AsyncIterator[v1.AnalyzeResponse]:
        self.max_message_bytes.append(max_message_bytes)
        self.requests.append(request)
        self.request_ids.append(request_id)
        self.timeouts.append(timeout)
        if self.holds:
            await asyncio.Event().wait()
        for answer in self.answers:
            answer.request_id = request_id
            yield answer
        if self.error is not None:
            raise self.error

    async def analyze(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: object = None,  # noqa: ARG002 (as a gateway)
        choice: object = None,  # noqa: ARG002 (as a gateway)
    ) -> v1.AnalyzeResponse:
        whole = v1.AnalyzeResponse()
        async for answer in self.stream(
            request, request_id=request_id, timeout=timeout, max_message_bytes=max_message_bytes
        ):
            whole.MergeFrom(answer)
        return whole

    def learn_sending(self, seconds: float) -> None:
        """What an answer took to be sent is of no interest here."""

    def list_models(self) -> list[v1.Model]:
        return self.models

    def get_model(self, name: str, version: str = "") -> v1.Model:
        # REST asks for the model before every call; what fails after answers must not fail here.
        if self.error is not None and not self.answers:
            raise self.error
        for model in self.models:
            if model.name == name and version in ("", model.version):
                return model
        raise NotFoundError(f"there is no model {name!r} of version {version!r}", field="model")

    @contextmanager
    def chosen(self, name: str, version: str = "") -> Iterator[Choice]:
        model = self.get_model(name, version)
        yield Choice(Deployment([model], InTurn([]), AuditFiles({})), model)

    def versions(self, name: str) -> list[str]:
        return [model.version for model in self.models if model.name == name]

    def check(self, request: v1.AnalyzeRequest) -> v1.Model:
        return self.get_model(request.model, request.version)

    def list_audits(self, model: str, version: str = "") -> list[v1.Audit]:
        return audits_of(self.get_model(model, version))

    def get_audit(self, request: v1.GetAuditRequest) -> v1.AuditFile:
        return audit_file(self.get_model(request.model, request.version), request.audit, request.format or "json")

    async def read_audit(
        self,
        request: v1.GetAuditRequest,  # noqa: ARG002 (as a gateway)
        file: v1.AuditFile,
        seconds: float,
        piece_bytes: int = 1000,
    ) -> AsyncIterator[bytes]:
        self.timeouts.append(seconds)
        content = self.files[file.format]
        for start in range(0, len(content), piece_bytes):
            yield content[start : start + piece_bytes]

    def readiness(self) -> dict[str, dict[str, dict[str, str]]]:
        return {}


class _Welcoming(Access):
    """Lets everybody in, and notes what callers sent with their gateway."""

    def __init__(self, gateway: FakeGateway) -> None:
        super().__init__(None)
        self._gateway = gateway

    def admit(self, authorization: str | None, need: Need, *, basic: bool = False) -> Caller:  # noqa: ARG002 (as Access)
        self._gateway.authorizations.append(authorization)
        return Caller("", tuple(Scope))


@dataclass(frozen=True)
class Ports:
    """The addresses of both transports, and the gateway behind them."""

    gateway: FakeGateway
    grpc: str
    rest: str


@contextmanager
def serving(
    gateway: FakeGateway,
    max_bytes: int = 64 * 2**20,
    *,
    studies: StudyApi | None = None,
    database: str = "",
    certificates: Certificates | None = None,
) -> Iterator[Ports]:
    """Serves a gateway over gRPC and REST, in a thread of its own.

    Args:
        gateway: What answers.
        max_bytes: Largest message of gRPC, and largest picture of REST, that is read.
        studies: What answers about studies; None for a server without them.
        database: URL of the database of operations; empty for a server without them.
        certificates: For TLS; None speaks plain text.
    """
    # The transports use no more of a gateway than the fake has.
    actual = cast(Gateway, gateway)
    mounts = () if studies is None else rest.routes(studies, **_LIMITS)
    services = () if studies is None else (rpc.service(studies),)
    access = _Welcoming(gateway)
    started: Queue[tuple[Ports, Callable[[], object]]] = Queue()

    async def serve(kept: Beside | None = None) -> None:
        start = kept.operations.start if kept else no_operations
        app = create_app(
            actual,
            Metrics(),
            access=access,
            max_image_bytes=max_bytes,
            mounts=(*mounts, *(kept.routes if kept else ())),
            start=start,
            **_LIMITS,
        )
        config = ConnectionsConfig(app, keep_alive=5, max_connections=100, stop_seconds=5, certificates=certificates)
        server = create_server(
            actual,
            Metrics(),
            access=access,
            max_message_bytes=max_bytes,
            services=(*services, *(kept.services if kept else ())),
            start=start,
            **_LIMITS,
        )
        if certificates is None:
            grpc = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            grpc = f"grpcs://127.0.0.1:{server.add_secure_port('127.0.0.1:0', server_credentials(certificates))}"
        await server.start()
        stop = asyncio.Event()
        async with connections.serving(config, "127.0.0.1", 0) as http:
            loop = asyncio.get_running_loop()
            started.put((Ports(gateway, grpc, http), lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()
        await server.stop(None)

    async def serve_all() -> None:
        if not database:
            await serve()
            return
        async with beside(Settings(database=database), actual) as kept, kept.operations.running():
            await serve(kept)

    thread = threading.Thread(target=lambda: asyncio.run(serve_all()))
    thread.start()
    ports, stop = started.get(timeout=_START_SECONDS)
    try:
        yield ports
    finally:
        stop()
        thread.join()
