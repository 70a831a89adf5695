"""Answers over gRPC are compressed for callers who ask; counted in bytes between server and caller."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from server.conftest import MODEL, FakeGateway
from whybox import v1
from whybox.v1 import analysis_pb2_grpc
from whybox.v1.vocabulary import COMPRESSION_KEY

TEXT = 200 * "the same words again and again "


class Wire:
    """Hands bytes on between callers and a server, and counts those of the server."""

    def __init__(self, host: str, port: str) -> None:
        self._host, self._port = host, int(port)
        self.answered = 0
        self._joined: set[asyncio.Task[None] | None] = set()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._joined.add(asyncio.current_task())
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(self._copy(reader, to_server), self._copy(from_server, writer, counted=True))

    async def ended(self) -> None:
        """Waits until every caller and the server have closed their ends."""
        await asyncio.gather(*filter(None, self._joined))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while data := await reader.read(2**16):
            self.answered += len(data) if counted else 0
            writer.write(data)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def wire(grpc_address: str) -> AsyncIterator[tuple[Wire, str]]:
    wire = Wire(*grpc_address.split(":"))
    async with await asyncio.start_server(wire.join, "127.0.0.1", 0) as server:
        yield wire, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await wire.ended()


@pytest.mark.parametrize(
    ("asked", "compressed"),
    [("gzip", True), ("deflate", True), (None, False), ("identity", False), ("zstd", False), ("GZIP", False)],
)
@pytest.mark.parametrize("method", ["Analyze", "StreamAnalysis", "GetModel"])
async def test_who_asks_for_it(
    wire: tuple[Wire, str], gateway: FakeGateway, monkeypatch: Any, method: str, asked: str | None, compressed: bool
) -> None:
    counting, address = wire
    gateway.parts = 1
    gateway.answer.prediction.classes.add(label=TEXT)
    monkeypatch.setattr(gateway, "get_model", lambda *_: v1.Model(labels=[TEXT]))
    metadata = () if asked is None else ((COMPRESSION_KEY, asked),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = analysis_pb2_grpc.AnalysisServiceStub(channel)
        request = v1.AnalyzeRequest(model=MODEL, image=b"picture", prediction=v1.PredictionOptions())
        match method:
            case "Analyze":
                answer = await stub.Analyze(request, metadata=metadata)
            case "StreamAnalysis":
                [answer] = [part async for part in stub.StreamAnalysis(request, metadata=metadata)]
            case _:
                answer = await stub.GetModel(v1.GetModelRequest(model=MODEL), metadata=metadata)
    texts = answer.labels if method == "GetModel" else [score.label for score in answer.prediction.classes]
    assert TEXT in texts
    assert (counting.answered < len(TEXT) / 2) is compressed, counting.answered
