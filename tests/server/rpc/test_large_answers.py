"""Answers beyond 4 MB to a caller with gRPC's own limits: refused before the work, or divided; nothing is lost."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from messages import message
from server.backends import Asked, FakeBackend, Outcome
from whybox import v1
from whybox.v1 import errors
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub
from whybox_server.access.checking import Access
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rpc.service import create_server

SIDE = 224
LIMIT = 4_000_000
MODEL = v1.Model(
    name="m",
    version="1",
    preprocessing=v1.Preprocessing(crop=SIDE),
    num_classes=20,
    labels=[f"class {index}" for index in range(20)],
    methods=[v1.Method(name="saliency", map_shape=[3, SIDE, SIDE])],
    norms=["linf", "l2"],
    attacks=[v1.Attack(name="fmn", norms=["linf", "l2"])],
    default_attack="fmn",
)
MAPS = [
    {"method": "saliency", "target_class": index, "encodings": ["float32", "heat_map"], "channels": "none"}
    for index in range(16)
]
REQUEST = message(v1.AnalyzeRequest, model="m", image=b"picture", prediction={}, explanations=MAPS, robustness={})


class Large(FakeBackend):
    """Answers with maps that are as large as maps can be."""

    async def outcome(self, asked: Asked) -> Outcome:
        answer = v1.AnalyzeResponse()
        if asked.work.request.HasField("prediction"):
            answer.prediction.classes.add(index=3, label="class 3")
        for options in asked.work.request.explanations:
            part = answer.explanations.add(method=options.method, target_class=options.target_class)
            part.attribution.data = bytes([options.target_class]) * (4 * 3 * SIDE**2)
            part.heat_map = bytes(3 * SIDE**2)
        if asked.work.request.HasField("robustness"):
            answer.robustness.distances.add(norm="linf")
        return v1.WorkResult(response=answer, final=True)


@pytest.fixture
def backend() -> Large:
    return Large()


@pytest.fixture
def gateway(backend: Large) -> Iterator[Gateway]:
    with Spool() as spool:
        yield Gateway(Deployment([MODEL], backend, AuditFiles({})), Metrics(), spool, max_image_bytes=1000)


@pytest.fixture
async def address(gateway: Gateway) -> AsyncIterator[str]:
    limits: dict[str, Any] = {"max_message_bytes": 100_000, "default_timeout": 30.0, "max_timeout": 120.0}
    server = create_server(gateway, Metrics(), access=Access(None), **limits)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def larger(limit: int) -> dict[str, Any]:
    """What a caller sets who takes more."""
    return {"options": [("grpc.max_receive_message_length", limit)]}


async def test_the_whole_answer_is_refused_before_the_work(address: str, backend: Large) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AnalysisServiceStub(channel).Analyze(REQUEST)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    error = errors.error_from_status(status)
    assert (error.reason, error.field) == ("ANSWER_TOO_LARGE", "x-whybox-max-response-bytes")
    for remedy in ("call StreamAnalysis", "float16", "fewer maps", "metadata x-whybox-max-response-bytes"):
        assert remedy in error.message
    assert backend.asked == []


async def test_the_stream_is_divided(address: str, gateway: Gateway) -> None:
    merged = v1.AnalyzeResponse()
    async with grpc.aio.insecure_channel(address) as channel:
        async for part in AnalysisServiceStub(channel).StreamAnalysis(REQUEST):
            assert part.ByteSize() <= LIMIT
            merged.MergeFrom(part)
    whole = await gateway.analyze(REQUEST, request_id=merged.request_id, timeout=30)
    assert whole.ByteSize() > 3 * LIMIT
    assert {timing.part for timing in merged.timings.parts} == {timing.part for timing in whole.timings.parts}
    for answer in (whole, merged):
        answer.ClearField("timings")
    assert merged == whole


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_that_takes_more_gets_it_in_one_message(address: str, streamed: bool) -> None:
    limit = 16 * 2**20
    metadata = (("x-whybox-max-response-bytes", str(limit)),)
    async with grpc.aio.insecure_channel(address, **larger(limit)) as channel:
        stub = AnalysisServiceStub(channel)
        if streamed:
            answers = [part async for part in stub.StreamAnalysis(REQUEST, metadata=metadata)]
        else:
            answers = [await stub.Analyze(REQUEST, metadata=metadata)]
    assert sorted(len(answer.explanations) for answer in answers)[-1] == len(MAPS)


async def test_a_single_map_beyond_the_limit_is_refused_as_a_stream_too(address: str, backend: Large) -> None:
    metadata = (("x-whybox-max-response-bytes", "700000"),)
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="a single map or distance of the answer may have up to 7"):
            await AnalysisServiceStub(channel).StreamAnalysis(REQUEST, metadata=metadata).read()
    assert backend.asked == []
