"""10,000 calls, most of them with something wrong: only declared codes, no hang, and nothing is left of them."""

import asyncio
import ctypes
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import psutil
import pytest
from google.rpc import code_pb2

from grpc_fuzz import ask, calls, inference
from messages import message
from server.backends import Asked, FakeBackend, Outcome
from server.conftest import LIMITS
from server.gateway.calls import IMAGE, MODEL, request
from server.waiting import settle
from whybox import v1
from whybox_server import oip
from whybox_server.access.checking import Access
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.parts import PARTS
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rpc.service import create_server

CALLS = 10_000
# 6.7 kB a call: less than any request, answer or task that stays.
LEFT_BYTES = 2**25
ANALYSIS = "/whybox.v1.AnalysisService"
INFERENCE = "/inference.GRPCInferenceService"
VALID = [
    (f"{ANALYSIS}/Analyze", request(prediction={"top_k": 2})),
    (
        f"{ANALYSIS}/Analyze",
        request(prediction={}, explanations=[{"method": "grad_cam"}], robustness={}, bias={}, seed=7),
    ),
    (f"{ANALYSIS}/StreamAnalysis", request(prediction={}, explanations=[{"method": "integrated_gradients"}])),
    (f"{ANALYSIS}/StreamAnalysis", request(certified={"sigma": 0.25, "samples": 100})),
    (f"{ANALYSIS}/ListModels", v1.ListModelsRequest()),
    (f"{ANALYSIS}/GetModel", v1.GetModelRequest(model="m", version="2")),
    (f"{ANALYSIS}/ListAudits", v1.ListAuditsRequest(model="m")),
    (f"{INFERENCE}/ModelInfer", inference("m", IMAGE)),
]


class Answering(FakeBackend):
    """Answers all work at once."""

    async def outcome(self, asked: Asked) -> Outcome:
        await asyncio.sleep(0)
        result = v1.WorkResult(compute_ms=5, final=True)
        for field, value in asked.work.request.ListFields():
            if field.name == "explanations":
                for options in value:
                    result.response.explanations.add(method=options.method)
            elif field.name in PARTS:
                getattr(result.response, field.name).status.code = code_pb2.OK
                if field.name == "prediction":
                    result.response.prediction.classes.extend(
                        v1.ClassScore(index=index) for index in range(value.top_k)
                    )
        return result


@pytest.fixture
def gateway(metrics: Metrics, spooled: Callable[[], list[bytes]]) -> Iterator[Gateway]:  # noqa: ARG001 (its folder)
    with Spool() as spool:
        yield Gateway(Deployment([MODEL], Answering(), AuditFiles({})), metrics, spool, max_image_bytes=100_000)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def grpc_address(gateway: Gateway, metrics: Metrics) -> AsyncIterator[str]:
    server = create_server(
        gateway, metrics, access=Access(None), max_message_bytes=1_000_000, services=(oip.service(gateway),), **LIMITS
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def kept(process: psutil.Process) -> int:
    """Bytes that this process holds, without what is free already and only waits to be given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return process.memory_info().rss


async def test_calls_of_strangers(
    channel: grpc.aio.Channel,
    stub: Any,
    samples: Callable[[str], dict[str, float]],
    spooled: Callable[[], list[bytes]],
) -> None:
    process = psutil.Process(os.getpid())
    asked = calls(VALID, CALLS, seed=16)
    # What the process keeps in any case is there after the first half.
    first = await ask(channel, asked[: CALLS // 2], at_once=20)
    await settle()
    tasks, files, memory = len(asyncio.all_tasks()), process.num_fds(), kept(process)
    second = await ask(channel, asked[CALLS // 2 :], at_once=20)
    for found in (first, second):
        assert found.undeclared == []
        assert found.valid["OK"] == found.valid.total() > CALLS / 20
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED"} <= set(second.codes)
    assert (await stub.Analyze(message(v1.AnalyzeRequest, model="m", image=IMAGE, prediction={}))).model == "m"
    await settle()
    assert len(asyncio.all_tasks()) <= tasks
    assert process.num_fds() <= files
    assert kept(process) < memory + LEFT_BYTES
    assert spooled() == []
    assert set(samples("whybox_requests_in_flight").values()) == {0}
