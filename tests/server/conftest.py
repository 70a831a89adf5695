"""The transports over a gateway that answers what a test tells it to, and the temporary folders of a spool.

Tests that take `http`, `channel` or `stub` ask the real REST or gRPC transport; `gateway` is what the transports ask. A
test sets what it answers, and looks up what it was asked. The gateway's own tests have another `gateway`: see the
conftest there. Tests that take `database_url` or `engine` run on SQLite and on a real PostgreSQL; the tables are made
once, and each test has a copy.
"""

import asyncio
import math
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

import postgres as postgres_server
from messages import message
from server.backends import InTurn
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox.v1.errors import NotFoundError, UnavailableError
from whybox_server.access.checking import Access, Caller
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Choice, Deployment
from whybox_server.gateway.queueing.bodies import Bodies
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rest import create_app
from whybox_server.rpc.service import create_server

MODEL = "efficientnet-lite0"
MAX_IMAGE_BYTES = 100_000
LIMITS: dict[str, Any] = {"default_timeout": 30.0, "max_timeout": 120.0}


def full_answer(request_id: str = "id-1") -> v1.AnalyzeResponse:
    """An answer in which every kind of field occurs."""
    score = v1.ClassScore(index=207, label="golden retriever", probability=0.75)
    view = v1.View(picture_width=320, picture_height=240, left=40.5, width=239, height=240)
    answer = v1.AnalyzeResponse(request_id=request_id, model=MODEL, version="1")
    answer.prediction.MergeFrom(v1.Prediction(classes=[score], view=view))
    answer.prediction.status.code = code_pb2.OK
    tensor = v1.Tensor(shape=[1, 2], dtype="uint8", data=b"\xff\x00", scale=0.5, offset=-1.0)
    answer.explanations.add(
        index=0, method="grad_cam", target_class=207, attribution=tensor, convergence_delta=float("nan"), view=view
    )
    drawn = answer.explanations[0]
    drawn.heat_map, drawn.overlay = b"\x89PNG heat map", b"\x89PNG overlay"
    drawn.regions.sufficient.MergeFrom(v1.Region(state="found", mask=b"\x89PNG mask", area=0.25, target=score))
    drawn.regions.necessary.state = "not_found"
    drawn.quality.MergeFrom(v1.Quality(reasons=["It moves."], sensitivity=0.0))
    drawn.quality.deletion.MergeFrom(v1.Curve(fractions=[0, 1], probabilities=[0.75, float("nan")], auc=0.5))
    drawn.quality.stability.rank_correlation = -0.5
    failed = answer.explanations.add(index=1, method="integrated_gradients")
    failed.status.CopyFrom(UnavailableError("No worker.", retry_after=0.5).to_status())
    answer.robustness.distances.add(
        norm="linf", state="found", distance=0.0003, searched_radius=float("inf"), predicted_class=score
    )
    distance = answer.robustness.distances[0]
    distance.distance_8bit, distance.adversarial_picture, distance.reasons[:] = 0.004, b"\x89PNG", ["Late."]
    distance.transfers.add(model="other", fooled=True, adversarial_class=score)
    distance.twin.CopyFrom(message(v1.Twin, before={"method": "grad_cam"}, same_class={"ssim": float("nan")}))
    answer.robustness.corruptions.add(name="fog", group="weather", first_flip=2).levels.add(severity=2, flips=True)
    answer.bias.flags.add(kind="adversarial_criticism", state="flagged", effect=1.5, n=20)
    answer.bias.prototypes.add(id="a.jpg", distance=0.01)
    certified = v1.Certified(state="certified", class_index=207, class_label="golden retriever", sigma=0.25)
    certified.radius, certified.probability_lower_bound, certified.samples = 0.5, 0.9, 1000
    answer.certified.CopyFrom(certified)
    answer.timings.total_ms = 12.5
    answer.timings.parts.add(part="prediction", total_ms=10, compute_ms=8)
    answer.receipt.runtime["torch"] = "2.14.1"
    return answer


def full_model() -> v1.Model:
    model = v1.Model(name=MODEL, version="1", num_classes=1000, labels=["tench"], norms=["linf"])
    model.preprocessing.mean.extend([0.5, 0.5, 0.5])
    method = model.methods.add(name="grad_cam", summary="Where.", reference="Selvaraju 2017", options=["tolerance"])
    method.randomisation_test.MergeFrom(v1.RandomisationTest(passed=True, similarity=0.1, threshold=0.5, pictures=20))
    model.packing_check.runtime["onnxruntime"] = "1.31"
    model.attacks.add(name="fmn", summary="Little.", reference="2102.12827", norms=["linf"], evaluations="gradient")
    model.default_attack = "fmn"
    model.attack_check.MergeFrom(v1.AttackCheck(reasons=["It is random."], repetition_difference=0.5))
    model.corruptions.add(name="fog", group="weather", summary="Haze.", severities=5)
    model.batch_sizes.MergeFrom(v1.BatchSizes(forward=4, occluded=4, gradient=1, runtime={"threads": "1"}))
    return model


@dataclass
class FakeGateway(Gateway):
    """A gateway without pools. It overrides all that the transports call, and has nothing of a real one's inside.

    Attributes:
        answer: What it answers.
        error: What it raises instead; in a stream after the messages.
        refusal: What a check of a request raises.
        parts: Number of messages in a stream.
        waits: Whether a call waits until it is cancelled; in a stream after the messages.
        bodies: As of the real one.
        pools: State of each pool, by model, version and kind.
        requests: The requests so far.
        request_ids: Their ids.
        timeouts: The seconds that their callers wait.
        max_message_bytes: The largest messages that they take; infinite over REST.
        callers: Who makes them.
        started: Set when the first call has come.
        cancelled: Set when a call was cancelled while it waited or sent a message.
    """

    answer: v1.AnalyzeResponse = field(default_factory=full_answer)
    error: BaseException | None = None
    refusal: BaseException | None = None
    parts: int = 0
    waits: bool = False
    bodies: Bodies = field(default_factory=lambda: Bodies(256 * 2**20))
    pools: dict[str, dict[str, dict[str, str]]] = field(
        default_factory=lambda: {MODEL: {"1": {"predict": "ready", "analyze": "ready"}}}
    )
    requests: list[v1.AnalyzeRequest] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    max_message_bytes: list[float] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def _note(
        self, request: v1.AnalyzeRequest, request_id: str, timeout: float, max_message_bytes: float, caller: Caller
    ) -> None:
        self.requests.append(request)
        self.request_ids.append(request_id)
        self.timeouts.append(timeout)
        self.max_message_bytes.append(max_message_bytes)
        self.callers.append(caller)
        self.started.set()

    async def _wait(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def analyze(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: Caller = Caller(),  # noqa: B008 (frozen)
        choice: Choice | None = None,  # noqa: ARG002 (there is one model)
    ) -> v1.AnalyzeResponse:
        self._note(request, request_id, timeout, max_message_bytes, caller)
        if self.waits:
            await self._wait()
        if self.error:
            raise self.error
        return self.answer

    async def stream(
        self,
        request: v1.AnalyzeRequest,
        *,
        request_id: str,
        timeout: float,
        max_message_bytes: float = math.inf,
        caller: Caller = Caller(),  # noqa: B008 (frozen)
        choice: Choice | None = None,  # noqa: ARG002 (there is one model)
    ) -> AsyncGenerator[v1.AnalyzeResponse, None]:
        self._note(request, request_id, timeout, max_message_bytes, caller)
        async with asyncio.timeout(10):
            try:
                for _ in range(self.parts):
                    yield self.answer
            except GeneratorExit:
                # A caller has its message before the transport knows, and may hang up in between.
                self.cancelled.set()
                raise
            if self.waits:
                await self._wait()
            if self.error:
                raise self.error

    def check(self, request: v1.AnalyzeRequest) -> v1.Model:
        if self.refusal:
            raise self.refusal
        return self.get_model(request.model, request.version)

    def learn_sending(self, seconds: float) -> None:
        """What an answer took to be sent is of no interest here."""

    def list_models(self) -> list[v1.Model]:
        if self.error:
            raise self.error
        model = full_model()
        model.ClearField("labels")
        return [model]

    def get_model(self, name: str, version: str = "") -> v1.Model:
        if name != MODEL or version not in {"", "1"}:
            raise NotFoundError(f"There is no model {name!r} of version {version!r}.", field="model")
        return full_model()

    def versions(self, name: str) -> list[str]:
        return [self.get_model(name).version]

    @contextmanager
    def chosen(self, name: str, version: str = "") -> Iterator[Choice]:
        model = self.get_model(name, version)
        yield Choice(Deployment([model], InTurn([]), AuditFiles({})), model)

    def readiness(self) -> dict[str, dict[str, dict[str, str]]]:
        return self.pools


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def metrics(gateway: FakeGateway) -> Metrics:
    metrics = Metrics()
    metrics.watch_pools(gateway.readiness)
    return metrics


@pytest.fixture
def samples(metrics: Metrics) -> Callable[[str], dict[str, float]]:
    """The values of one metric, by its labels as they are rendered."""

    def read(name: str) -> dict[str, float]:
        lines = metrics.render()[0].decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith((name + "{", name + " ")))
        return {labels.removeprefix(name): float(value) for labels, value in pairs}

    return read


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, a spool's among them."""
    root = tmp_path / "temporary"
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    return root


@pytest.fixture
def spooled(temporary: Path) -> Callable[[], list[bytes]]:
    """The pictures that lie in a spool now."""
    return lambda: [path.read_bytes() for path in temporary.glob("*/*")]


@pytest.fixture
def app(gateway: FakeGateway, metrics: Metrics) -> Starlette:
    return create_app(gateway, metrics, access=Access(None), max_image_bytes=MAX_IMAGE_BYTES, **LIMITS)


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://whybox") as client:
        yield client


@pytest.fixture
async def grpc_address(gateway: FakeGateway, metrics: Metrics) -> AsyncIterator[str]:
    server = create_server(gateway, metrics, access=Access(None), max_message_bytes=MAX_IMAGE_BYTES, **LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def channel(grpc_address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(grpc_address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> analysis_pb2_grpc.AnalysisServiceStub:
    return analysis_pb2_grpc.AnalysisServiceStub(channel)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Postgres]:
    """One server for each process of tests."""
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres_server.started(folder) as server:
        yield server


async def _with_tables(url: str) -> None:
    engine = create_engine(url)
    await upgrade(engine)
    await engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables of this version."""
    path = tmp_path_factory.mktemp("template") / "studies.db"
    asyncio.run(_with_tables(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: postgres_server.Postgres) -> str:
    """Name of a database with the tables of this version."""
    asyncio.run(_with_tables(postgres.fresh("tables")))
    return "tables"


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite database with the tables of this version."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'studies.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with the tables of this version."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    server: postgres_server.Postgres = request.getfixturevalue("postgres")
    return server.fresh("test", template=request.getfixturevalue("postgres_template"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: postgres_server.Postgres = request.getfixturevalue("postgres")
    return server.fresh("empty")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database with the tables of this version."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()
