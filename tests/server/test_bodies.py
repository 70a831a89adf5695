"""The memory of bodies in flight, on both transports."""

import asyncio
from typing import Any

import grpc
import httpx
import pytest

from server.conftest import MODEL, FakeGateway
from server.waiting import until
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox.v1.errors import OverloadedError
from whybox_server.gateway.queueing.bodies import Bodies

PICTURE = b"x" * 1000


def test_what_is_held_is_given_back() -> None:
    bodies = Bodies(10)
    with bodies.arriving() as arrived:
        arrived(6)
        with bodies.arriving() as second:
            second(4)
            with pytest.raises(OverloadedError, match="more than 10 bytes together") as caught:
                arrived(1)
            assert (caught.value.reason, bodies.held) == ("BODIES_FULL", 10)
        arrived(4)
    assert bodies.held == 0


async def test_over_rest(http: httpx.AsyncClient, gateway: FakeGateway) -> None:
    gateway.bodies.limit = 1500
    gateway.waits = True

    def send(http: httpx.AsyncClient = http) -> Any:
        return http.post(f"/v1/models/{MODEL}:predict", content=PICTURE, headers={"content-type": "image/png"})

    first = asyncio.create_task(send())
    await until(lambda: gateway.requests)
    refused = await send()
    assert (refused.status_code, refused.json()["reason"]) == (503, "BODIES_FULL")
    assert int(refused.headers["retry-after"]) >= 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await until(lambda: gateway.bodies.held == 0)


async def test_over_grpc(grpc_address: str, gateway: FakeGateway) -> None:
    gateway.bodies.limit = 1500
    gateway.waits = True
    async with grpc.aio.insecure_channel(grpc_address) as channel:
        stub: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
        request = v1.AnalyzeRequest(model=MODEL, image=PICTURE, prediction=v1.PredictionOptions())
        first = stub.Analyze(request)
        await until(lambda: gateway.requests)
        with pytest.raises(grpc.aio.AioRpcError, match="1,500 bytes together") as caught:
            await stub.Analyze(request)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError, match="1,500 bytes together"):
            [part async for part in stub.StreamAnalysis(request)]
        first.cancel()
        await until(lambda: gateway.bodies.held == 0)
