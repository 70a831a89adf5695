"""Connections of REST over TLS: what differs from plain text."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from server.waiting import until
from whybox_server.access.certificates import Certificates
from whybox_server.rest import connections
from whybox_server.rest.connections import ConnectionsConfig, serving

GET = b"GET / HTTP/1.1\r\nhost: whybox\r\n\r\n"
# Without an end of its own no test waits for longer.
PATIENCE = 30


class Application:
    """Answers when the body is there.

    Attributes:
        schemes: Of the requests so far.
        gone: Number of callers that went before their body was there.
    """

    def __init__(self) -> None:
        self.schemes: list[str] = []
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.schemes.append(scope["scheme"])
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> Certificates:
    return Certificates(*authority.issue("server").files)


@asynccontextmanager
async def port(
    application: Application, certificates: Certificates, *, max_connections: int = 100
) -> AsyncIterator[int]:
    config = ConnectionsConfig(
        application,
        keep_alive=3600,
        max_connections=max_connections,
        stop_seconds=3600,
        certificates=certificates,
    )
    async with asyncio.timeout(PATIENCE), serving(config, "127.0.0.1", 0) as address:
        assert address.startswith("https://127.0.0.1:")
        yield int(address.rpartition(":")[2])


async def connect(port: int, authority: Authority) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=authority.certificate)
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def test_requests_on_one_connection(authority: Authority, certificates: Certificates) -> None:
    application = Application()
    async with port(application, certificates) as number:
        reader, writer = await connect(number, authority)
        for _ in range(2):
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        writer.close()
    # By the scheme the pages of studies mark their cookies.
    assert application.schemes == ["https", "https"]


async def test_a_stop_waits_for_no_idle_caller(authority: Authority, certificates: Certificates) -> None:
    """The caller does not read, so it answers no farewell of TLS."""
    async with port(Application(), certificates) as number:
        reader, writer = await connect(number, authority)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nok")
        writer.transport.pause_reading()  # type: ignore[attr-defined] # the type of asyncio is too wide
    writer.transport.abort()


async def test_a_body_that_ends_early(
    authority: Authority, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS cannot end one direction alone: the caller has gone, and the application learns it."""
    caplog.set_level(logging.WARNING)
    application = Application()
    async with port(application, certificates) as number:
        _, writer = await connect(number, authority)
        writer.write(b"POST / HTTP/1.1\r\nhost: whybox\r\ncontent-length: 10\r\n\r\n01234")
        await until(lambda: application.schemes)
        writer.close()
        await until(lambda: application.gone)
    assert caplog.records == []


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
async def test_a_handshake_that_does_not_end(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    assert connections.HANDSHAKE_SECONDS <= connections.SILENCE_SECONDS
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.05)
    async with port(Application(), certificates) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_connections_before_their_handshake_count(
    authority: Authority, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    application = Application()
    async with port(application, certificates, max_connections=2) as number:
        first, idle = await connect(number, authority)
        silent, opened = await asyncio.open_connection("127.0.0.1", number)
        # The one that has waited longest goes, with its handshake or without.
        busy, writer = await connect(number, authority)
        assert await first.read() == b""
        last, other = await asyncio.open_connection("127.0.0.1", number)
        assert await silent.read() == b""
        writer.write(b"POST / HTTP/1.1\r\nhost: whybox\r\ncontent-length: 5\r\n\r\n")
        await until(lambda: application.schemes)
        newest, another = await connect(number, authority)
        assert await last.read() == b""
        another.write(b"POST / HTTP/1.1\r\nhost: whybox\r\ncontent-length: 5\r\n\r\n")
        await until(lambda: len(application.schemes) == 2)
        # Both are being answered.
        with pytest.raises(ConnectionError):
            await connect(number, authority)
        for reader, each in ((busy, writer), (newest, another)):
            each.write(b"01234")
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        for each in (idle, opened, other, writer, another):
            each.transport.abort()
    assert {record.getMessage()[:22] for record in caplog.records} == {"REST has 2 connections"}


async def test_a_stop_ends_handshakes(certificates: Certificates) -> None:
    async with port(Application(), certificates) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"\x16\x03\x01")
        await asyncio.sleep(0.05)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_plain_text_ends_its_own_connection_alone(
    authority: Authority, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    application = Application()
    async with port(application, certificates) as number:
        reader, writer = await connect(number, authority)
        other, plain = await asyncio.open_connection("127.0.0.1", number)
        plain.write(GET)
        assert b"HTTP" not in await other.read()
        plain.close()
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nok")
        writer.close()
    assert application.schemes == ["https"]
    assert caplog.records == []


async def test_a_certificate_that_changes_between_connections(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    pair = authority.issue("renewed")
    async with port(Application(), Certificates(*pair.files)) as number:
        reader, writer = await connect(number, authority)
        pair.replace(stranger.issue("new"))
        _, newer = await connect(number, stranger)
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(number, authority)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nok")
        for each in (writer, newer):
            each.close()
