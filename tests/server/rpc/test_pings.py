"""HTTP/2 pings of clients that keep a connection alive, sent over a bare socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from server.conftest import LIMITS, FakeGateway
from whybox_server.access.checking import Access
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rpc import options
from whybox_server.rpc.service import create_server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
# More than the server forgives if they come too fast.
PINGS = 20
# Kept alive by clients of Go at the shortest, and by most others.
SHORTEST_MS = 10_000


def frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


@asynccontextmanager
async def connected(gateway: FakeGateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without a call."""
    server: grpc.aio.Server = create_server(gateway, Metrics(), access=Access(None), max_message_bytes=1000, **LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(PREFACE + frame(SETTINGS))
        yield reader, writer
    finally:
        writer.close()
        await server.stop(None)


async def answered_pings(gateway: FakeGateway) -> int:
    """Number of pings that are answered, each sent after the last answer, until the server ends the connection."""
    answered = 0
    async with asyncio.timeout(30), connected(gateway) as (reader, writer):
        while answered < PINGS:
            writer.write(frame(PING, answered.to_bytes(8, "big")))
            kind, flags, payload = await read_frame(reader)
            while not (kind == GOAWAY or (kind == PING and flags & ACK)):
                kind, flags, payload = await read_frame(reader)
            if kind == GOAWAY:
                assert b"too_many_pings" in payload
                break
            answered += 1
    return answered


async def test_pings_at_the_allowed_pace_are_answered(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pace is allowed here, so that no clock decides."""
    monkeypatch.setattr(options, "_MIN_PING_MS", 0)
    assert await answered_pings(gateway) == PINGS


async def test_a_flood_of_pings_ends_the_connection(gateway: FakeGateway) -> None:
    assert await answered_pings(gateway) < PINGS


def test_the_pace_of_common_clients_is_allowed_with_a_margin() -> None:
    given = dict(options.server_options(1000, keep_alive=60))
    assert 0 < given["grpc.http2.min_ping_interval_without_data_ms"] <= SHORTEST_MS / 2
    assert given["grpc.keepalive_permit_without_calls"] == 1
