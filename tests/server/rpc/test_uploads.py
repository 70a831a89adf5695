"""Calls whose message does not come: they end after their time, and others do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from presence import present
from server.conftest import LIMITS, MODEL, FakeGateway
from whybox import v1
from whybox.v1.analysis_pb2_grpc import AnalysisServiceStub
from whybox.v1.errors import WhyboxError, error_from_status
from whybox_server.access.checking import Access
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rpc.service import create_server

UPLOAD_SECONDS = 0.1
ANALYZE = "/whybox.v1.AnalysisService/Analyze"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@asynccontextmanager
async def connected(gateway: FakeGateway) -> AsyncIterator[grpc.aio.Channel]:
    server = create_server(
        gateway, Metrics(), access=Access(None), max_message_bytes=1000, upload_seconds=UPLOAD_SECONDS, **LIMITS
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(30), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def unsent(channel: grpc.aio.Channel, method: str, *messages: bytes) -> WhyboxError:
    """The error of a call that sends these messages, and then neither another nor its end."""
    call: Any = channel.stream_stream(method)()
    for message in messages:
        await call.write(message)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [answer async for answer in call]
    status = present(rpc_status.from_call(cast("Any", caught.value)))
    return error_from_status(status)


@pytest.mark.parametrize(
    "method", [ANALYZE, "/whybox.v1.AnalysisService/StreamAnalysis", "/grpc.health.v1.Health/Watch", REFLECTION]
)
async def test_a_message_that_does_not_come_ends_the_call(gateway: FakeGateway, method: str) -> None:
    async with connected(gateway) as channel:
        error = await unsent(channel, method)
    assert (error.code_name, error.reason) == ("INVALID_ARGUMENT", "REQUEST_TIMEOUT")
    assert "within 0.1 s" in error.message
    assert gateway.requests == []


async def test_each_message_of_a_dialogue_has_its_time(gateway: FakeGateway) -> None:
    asked = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with connected(gateway) as channel:
        assert (await unsent(channel, REFLECTION, asked, asked)).reason == "REQUEST_TIMEOUT"


async def test_a_message_that_has_come_has_no_more_limit(gateway: FakeGateway) -> None:
    gateway.waits = True
    async with connected(gateway) as channel:
        call = AnalysisServiceStub(channel).Analyze(v1.AnalyzeRequest(model=MODEL))
        waiting = asyncio.ensure_future(call)
        await gateway.started.wait()
        # This call began later: when its time is over, that of the first would be.
        await unsent(channel, ANALYZE)
        assert not waiting.done()
        assert not gateway.cancelled.is_set()
        waiting.cancel()
        await gateway.cancelled.wait()
