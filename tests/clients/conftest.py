"""One canned service behind a real gRPC port and a real HTTP port, and pictures to send to it."""

import io
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_status import rpc_status
from PIL import Image

from whybox import Client, v1
from whybox.v1.analysis_pb2_grpc import AnalysisServiceServicer, add_AnalysisServiceServicer_to_server
from whybox.v1.errors import InternalError, OverloadedError, WhyboxError

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


@dataclass
class Service:
    """What both ports answer, and what they were asked.

    Attributes:
        answers: What is sent; a single call gets all of them merged, a stream one by one.
        error: Raised after the answers of a stream, and instead of the answer of a single call.
        models: What is served.
        held: Calls wait until this is set.
    """

    answers: list[v1.AnalyzeResponse] = field(default_factory=list)
    error: WhyboxError | None = None
    models: list[v1.Model] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    requests: list[v1.AnalyzeRequest] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)

    def analyze(self, request: v1.AnalyzeRequest, request_id: str) -> Iterator[v1.AnalyzeResponse]:
        self.requests.append(request)
        self.request_ids.append(request_id)
        self.held.wait(5)
        for answer in self.answers:
            answer.request_id = request_id
            yield answer
        if self.error is not None:
            raise self.error

    def merged(self, request: v1.AnalyzeRequest, request_id: str) -> v1.AnalyzeResponse:
        whole = v1.AnalyzeResponse()
        for answer in self.analyze(request, request_id):
            whole.MergeFrom(answer)
        return whole

    def model(self, name: str) -> v1.Model:
        if self.error is not None:
            raise self.error
        [model] = [model for model in self.models if model.name == name]
        return model


class GrpcService(AnalysisServiceServicer):
    def __init__(self, current: Callable[[], Service]) -> None:
        self.current = current

    def Analyze(self, request, context):  # noqa: N802
        return self.answered(context, lambda: self.current().merged(request, request_id(context)))

    def StreamAnalysis(self, request, context):  # noqa: N802
        answers = self.current().analyze(request, request_id(context))
        while (answer := self.answered(context, lambda: next(answers, None))) is not None:
            yield answer

    def ListModels(self, request, context):  # noqa: ARG002, N802
        return v1.ListModelsResponse(models=self.current().models)

    def GetModel(self, request, context):  # noqa: N802
        return self.answered(context, lambda: self.current().model(request.model))

    def answered(self, context, answer):
        try:
            return answer()
        except WhyboxError as error:
            context.abort_with_status(rpc_status.to_status(error.to_status()))


def request_id(context: grpc.ServicerContext) -> str:
    return dict(context.invocation_metadata())["x-request-id"]


class RestHandler(BaseHTTPRequestHandler):
    current: Callable[[], Service]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/v1/models":
            self.send("application/json", as_json(v1.ListModelsResponse(models=self.current().models)))
        else:
            self.answered(lambda: as_json(self.current().model(path.removeprefix("/v1/models/"))))

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        assert float(parse_qs(url.query)["timeout"][0]) > 0
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert "model" not in body, "the path names the model"
        request = ParseDict(body, v1.AnalyzeRequest())
        request.model = unquote(url.path).removeprefix("/v1/models/").removesuffix(":analyze")
        own_id = self.headers["x-request-id"]
        if "application/x-ndjson" not in self.headers["accept"]:
            self.answered(lambda: as_json(self.current().merged(request, own_id)))
            return
        lines = []
        try:
            for answer in self.current().analyze(request, own_id):
                lines.append(as_json(answer))  # noqa: PERF401
        except WhyboxError as error:
            lines.append({"error": problem(error)})
        self.send("application/x-ndjson", *lines)

    def answered(self, answer: Callable[[], dict]) -> None:
        try:
            self.send("application/json", answer())
        except WhyboxError as error:
            self.send("application/problem+json", problem(error), status=HTTP_STATUS[error.code_name])

    def send(self, media_type: str, *bodies: dict, status: int = 200) -> None:
        content = "".join(json.dumps(body) + "\n" for body in bodies).encode()
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def as_json(message) -> dict:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def problem(error: WhyboxError) -> dict:
    body = {"title": "no", "detail": error.message, "code": error.code_name, "reason": error.reason}
    if error.field is not None:
        body["errors"] = [{"field": error.field, "detail": error.message}]
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    return body


class Ports:
    """The two servers; what they answer changes from test to test."""

    def __init__(self) -> None:
        self.service = Service()
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.rpc = grpc.server(ThreadPoolExecutor(4), options=limits)
        add_AnalysisServiceServicer_to_server(GrpcService(lambda: self.service), self.rpc)
        grpc_port = self.rpc.add_insecure_port("127.0.0.1:0")
        self.rpc.start()
        handler = type("Handler", (RestHandler,), {"current": lambda _: self.service})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.urls = {"grpc": f"grpc://127.0.0.1:{grpc_port}", "rest": f"http://127.0.0.1:{self.http.server_port}"}

    def close(self) -> None:
        self.rpc.stop(None).wait()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture(scope="session")
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture
def service(ports: Ports, answer: v1.AnalyzeResponse) -> Iterator[Service]:
    names = ("lite0", "lite2")
    ports.service = Service(answers=[answer], models=[v1.Model(name=name, version="1.0") for name in names])
    ports.service.held.set()
    yield ports.service
    ports.service.held.set()


@pytest.fixture(params=["grpc", "rest"])
def url(request: pytest.FixtureRequest, ports: Ports, service: Service) -> str:  # noqa: ARG001
    return ports.urls[request.param]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, model="lite0", timeout=10) as client:
        yield client


def png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG")
    return encoded.getvalue()


@pytest.fixture
def answer() -> v1.AnalyzeResponse:
    """Every part: two maps, the second with all extras, a failed third; each optional field once set, once absent."""
    view = v1.View(picture_width=64, picture_height=48, left=10.5, top=2.5, width=43, height=43)
    dog = v1.ClassScore(index=207, label="golden retriever", probability=0.75)
    cat = v1.ClassScore(index=281, label="tabby")
    cells = np.arange(49, dtype="<f4").reshape(7, 7)
    deflated = zlib.compress(bytes(range(12)))
    bytes_map = v1.Tensor(shape=[3, 2, 2], dtype="uint8", data=deflated, scale=0.5, offset=-2, compression="deflate")
    inside = np.zeros((12, 12), np.uint8)
    inside[6:, :6] = 1
    failed = InternalError("The map went wrong.")
    twin_map = v1.Explanation(
        method="grad_cam",
        target_class=207,
        target_label="golden retriever",
        attribution=v1.Tensor(shape=[7, 7], dtype="float32", data=cells.tobytes()),
        view=view,
    )
    other_twin_map = v1.Explanation(
        method="grad_cam", target_class=281, target_label="tabby", attribution=twin_map.attribution
    )
    return v1.AnalyzeResponse(
        request_id="overwritten",
        model="lite0",
        version="1.0",
        prediction=v1.Prediction(classes=[dog, cat], view=view),
        explanations=[
            v1.Explanation(
                index=0,
                method="grad_cam",
                target_class=207,
                target_label="golden retriever",
                attribution=v1.Tensor(shape=[7, 7], dtype="float32", data=cells.tobytes()),
                units="relative",
                target_logit=9.5,
                stopped_by="done",
                forward_evaluations=1,
                gradient_evaluations=1,
                view=view,
            ),
            v1.Explanation(
                index=1,
                method="integrated_gradients",
                target_class=207,
                target_label="golden retriever",
                contrast_class=281,
                contrast_label="tabby",
                attribution=bytes_map,
                heat_map=png(np.full((12, 12, 3), 200, np.uint8)),
                overlay=png(np.full((12, 12, 3), 100, np.uint8)),
                regions=v1.Regions(
                    sufficient=v1.Region(
                        state="found",
                        mask=png(255 * inside),
                        segments=12,
                        area=0.25,
                        left=0,
                        top=6,
                        width=6,
                        height=6,
                        target=dog,
                        predicted=dog,
                        box_probability=0.8,
                    ),
                    necessary=v1.Region(state="not_found"),
                    segments=60,
                    baseline="blur",
                    forward_evaluations=90,
                ),
                units="logit",
                signed=True,
                baseline="black",
                target_logit=9.5,
                baseline_logit=-0.5,
                convergence_delta=0.25,
                stopped_by="evaluations",
                residual=0.071,
                forward_evaluations=2,
                gradient_evaluations=50,
                quality=v1.Quality(
                    reasons=["deletion is no better than random", "it does not survive 8 bits"],
                    deletion=v1.Curve(fractions=[0, 0.5, 1], probabilities=[0.75, 0.5, 0], auc=0.4375, random_auc=0.4),
                    infidelity=0.5,
                    uniform_infidelity=0.6,
                    random_infidelity=0.8,
                    stability=v1.Stability(rank_correlation=0.25, top_overlap=0.5),
                    forward_evaluations=40,
                    gradient_evaluations=3,
                ),
                view=view,
            ),
            v1.Explanation(index=2, method="occlusion", status=failed.to_status()),
        ],
        robustness=v1.Robustness(
            distances=[
                v1.Distance(
                    norm="linf",
                    attack="fmn",
                    state="found",
                    distance=0.1 / 255,
                    unflipped_distance=0.099 / 255,
                    distance_at_half_budget=0.2 / 255,
                    predicted_class=dog,
                    adversarial_class=cat,
                    gradient_evaluations=12,
                    forward_evaluations=7,
                    searched_radius=0.5,
                    percentile=40.0,
                    survives_8bit=False,
                    runner_up_class=cat,
                    stopped_by="evaluations",
                    distance_8bit=2 / 255,
                    adversarial_picture=png(np.full((12, 12, 3), 150, np.uint8)),
                    change_picture=png(np.full((12, 12, 3), 128, np.uint8)),
                    transfers=[
                        v1.Transfer(
                            model="lite2", version="1.0", predicted_class=dog, adversarial_class=cat, fooled=True
                        ),
                        v1.Transfer(model="lite3", version="1.0", status=failed.to_status()),
                    ],
                    twin=v1.Twin(
                        before=twin_map,
                        after=other_twin_map,
                        same_class=v1.MapSimilarity(ssim=0.9, top_overlap=0.75, rank_correlation=0.95),
                        new_class=v1.MapSimilarity(ssim=0.5, top_overlap=0.25, rank_correlation=-0.1),
                    ),
                    reasons=["the deadline ended the search"],
                ),
                v1.Distance(norm="l2", attack="fmn", state="not_found", predicted_class=dog, searched_radius=0.5),
            ],
            view=view,
            corruptions=[
                v1.Corruption(
                    name="gaussian_noise",
                    group="noise",
                    levels=[
                        v1.CorruptionLevel(severity=severity, predicted_class=cat if flips else dog, flips=flips)
                        for severity, flips in ((1, False), (2, False), (3, True), (4, True), (5, True))
                    ],
                    first_flip=3,
                ),
                v1.Corruption(
                    name="mirror", group="geometry", levels=[v1.CorruptionLevel(severity=1, predicted_class=dog)]
                ),
            ],
        ),
        bias=v1.Bias(
            flags=[
                v1.BiasFlag(
                    kind="adversarial_criticism",
                    state="flagged",
                    attribute="indoors",
                    class_index=207,
                    class_label="golden retriever",
                    effect=0.4,
                    ci_low=0.2,
                    ci_high=0.6,
                    n=120,
                    q_value=0.01,
                    minimum_detectable_effect=0.1,
                    audit_id="audit-1",
                    message="Pictures annotated indoors are easier to attack.",
                ),
                v1.BiasFlag(kind="adversarial_criticism", state="not_audited", message="No audit."),
            ],
            prototypes=[v1.Example(id="a", distance=0.01)],
            criticisms=[v1.Example(id="b", distance=0.0001)],
            predicted_class=dog,
        ),
        certified=v1.Certified(
            state="certified",
            class_index=207,
            class_label="golden retriever",
            radius=0.124,
            probability_lower_bound=0.993,
            sigma=0.05,
            alpha=0.001,
            samples=1000,
            wanted_samples=1000,
            count=1000,
        ),
        timings=v1.Timings(total_ms=812.5, parts=[v1.PartTiming(part="prediction", total_ms=20, compute_ms=12)]),
        receipt=v1.Receipt(weights_sha256="ab", parameters="{}", seed=3, runtime={"torch": "2.14.1", "device": "cpu"}),
    )


@pytest.fixture
def picture() -> bytes:
    """64 x 48 pixels of noise as PNG."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return png(noise)


@pytest.fixture
def nobody() -> str:
    """The address of a port that nobody listens on."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return f"127.0.0.1:{server.server_port}"


@pytest.fixture
def overloaded() -> WhyboxError:
    return OverloadedError("The queue is full.", retry_after=1.5)
