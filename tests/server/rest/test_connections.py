"""How long a connection may stay silent, and how many there may be, on a clock that jumps."""

import asyncio
import json
from typing import Any

import pytest
from uvicorn.server import ServerState

from virtual_time import in_virtual_time
from whybox_server.rest.connections import HEADER_SECONDS, SILENCE_SECONDS, Connection, ConnectionsConfig

KEEP_ALIVE = 75
GET = b"GET /healthz HTTP/1.1\r\nHost: whybox\r\n\r\n"
HEAD = b"POST /x HTTP/1.1\r\nHost: whybox\r\nX-Request-Id: id-1\r\nContent-Length: 10\r\n\r\n"
UPGRADE = (
    b"POST /x HTTP/1.1\r\nHost: whybox\r\nContent-Length: 10\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: %s\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n\r\n0123456789"
)


class Transport(asyncio.Transport):
    """Keeps what is written.

    Attributes:
        written: All of it.
        unread: Bytes of it that the caller has not taken.
        closed_at: When it was closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unread = 0
        self.closed_at: float | None = None
        self.protocol: Connection | None = None

    def write(self, data: Any) -> None:
        assert self.closed_at is None
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def close(self) -> None:
        if self.closed_at is None:
            loop = asyncio.get_running_loop()
            self.closed_at = loop.time()
            assert self.protocol is not None
            loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Server:
    """Connections to an application that answers when the body is there.

    Attributes:
        bodies: The bodies that came.
        gone: Number of callers that went before their body was there.
        answers: The application waits until this is set.
    """

    def __init__(self, max_connections: int = 100) -> None:
        self.bodies: list[bytes] = []
        self.gone = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self._state = ServerState()
        self._config = ConnectionsConfig(
            self._app, keep_alive=KEEP_ALIVE, max_connections=max_connections, stop_seconds=5
        )
        self._config.load()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await self.answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> Transport:
        transport = Transport()
        transport.protocol = Connection(self._config, self._state, {}, asyncio.get_running_loop())
        transport.protocol.connection_made(transport)
        return transport


def send(transport: Transport, data: bytes) -> None:
    assert transport.protocol is not None
    transport.protocol.data_received(data)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def status(transport: Transport) -> int | None:
    return int(transport.written.split()[1]) if transport.written else None


def told(transport: Transport) -> Any:
    return json.loads(transport.written.partition(b"\r\n\r\n")[2])


# Pieces that a caller sends, each with its pause before it in seconds; when the connection ends, and with which answer.
SILENCES: dict[str, tuple[list[tuple[float, bytes]], float, int | None]] = {
    "nothing": ([], HEADER_SECONDS, None),
    "half of the headers": ([(3, GET[:20])], HEADER_SECONDS, 408),
    "headers byte by byte": ([(1, GET[i : i + 1]) for i in range(20)], HEADER_SECONDS, 408),
    "headers alone": ([(3, HEAD)], 3 + SILENCE_SECONDS, 408),
    "half of the body": ([(3, HEAD), (4, b"01234")], 7 + SILENCE_SECONDS, 408),
    "a slow body": ([(0, HEAD), *[(29, b"0")] * 10], 290 + KEEP_ALIVE, 200),
    "one request": ([(3, GET)], 3 + KEEP_ALIVE, 200),
    "a request late in keep-alive": ([(0, GET), (KEEP_ALIVE - 1, GET)], 2 * KEEP_ALIVE - 1, 200),
    "half of a second request": ([(0, GET), (60, GET[:9])], 60 + HEADER_SECONDS, 200),
    "two requests at once": ([(0, GET + GET)], KEEP_ALIVE, 200),
}


@pytest.mark.parametrize("case", SILENCES)
def test_no_connection_is_held_in_silence(case: str) -> None:
    pieces, end, code = SILENCES[case]

    @in_virtual_time
    async def run() -> None:
        server = Server()
        transport = server.connect()
        for pause, piece in pieces:
            await asyncio.sleep(pause)
            if transport.is_closing():
                break
            send(transport, piece)
            await turns()
        await asyncio.sleep(1000)
        assert transport.closed_at == pytest.approx(end)
        assert status(transport) == code
        if code == 408:
            assert told(transport)["reason"] == "REQUEST_TIMEOUT"
        assert server.gone == (code == 408 and pieces[0][1] == HEAD)

    run()


@in_virtual_time
async def test_a_body_that_is_late_is_answered_under_the_id_of_its_request() -> None:
    server = Server()
    transport = server.connect()
    send(transport, HEAD)
    await asyncio.sleep(100)
    assert told(transport)["request_id"] == "id-1"
    assert b"x-request-id: id-1" in transport.written


@in_virtual_time
async def test_a_slow_answer_is_waited_for() -> None:
    server = Server()
    server.answers.clear()
    transport = server.connect()
    send(transport, HEAD + b"0123456789")
    await asyncio.sleep(600)
    assert not transport.is_closing()
    server.answers.set()
    await turns()
    assert status(transport) == 200


@in_virtual_time
async def test_a_caller_that_takes_no_byte_of_its_answer_is_given_up() -> None:
    transport = Server().connect()
    send(transport, GET)
    await turns()
    assert transport.protocol is not None
    transport.unread = 100_000
    transport.protocol.pause_writing()
    for _ in range(20):
        transport.unread -= 1000
        await asyncio.sleep(SILENCE_SECONDS)
        assert not transport.is_closing()
    await asyncio.sleep(2 * SILENCE_SECONDS)
    assert transport.is_closing()


@in_virtual_time
async def test_the_end_of_an_answer_that_is_not_taken_is_given_up_with_keep_alive() -> None:
    transport = Server().connect()
    send(transport, GET)
    await turns()
    transport.unread = 1000
    await asyncio.sleep(1000)
    assert transport.closed_at == KEEP_ALIVE


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0", b"HTTP/3.0"])
def test_upgrades_are_ignored(protocol: bytes, caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def run() -> None:
        server = Server()
        transport = server.connect()
        for number in range(3):
            send(transport, UPGRADE % protocol)
            await turns()
            assert server.bodies == [b"0123456789"] * (number + 1)
        assert transport.written.count(b"HTTP/1.1 200") == 3

    run()
    assert caplog.messages == []


def test_at_the_limit_those_that_wait_longest_make_room(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def run() -> None:
        server = Server(max_connections=10)
        busy = server.connect()
        server.answers.clear()
        send(busy, GET)
        waiting = []
        for _ in range(400):
            await asyncio.sleep(0.001)
            waiting.append(server.connect())
        await turns()
        assert [each.is_closing() for each in waiting] == [True] * 391 + [False] * 9
        assert not busy.is_closing()
        server.answers.set()
        send(waiting[-1], GET)
        await turns()
        assert status(busy) == status(waiting[-1]) == 200

    run()
    [message] = caplog.messages
    assert "REST has 10 connections" in message


@in_virtual_time
async def test_where_all_are_busy_one_more_is_refused() -> None:
    server = Server(max_connections=3)
    server.answers.clear()
    busy = [server.connect() for _ in range(3)]
    for each in busy:
        send(each, GET)
    await turns()
    more = server.connect()
    await turns()
    assert status(more) == 503
    assert told(more)["reason"] == "TOO_MANY_CONNECTIONS"
    assert b"retry-after: 1" in more.written
    server.answers.set()
    await turns()
    assert [status(each) for each in busy] == [200] * 3


@pytest.mark.parametrize("sent", [b"", GET[:20], HEAD, HEAD + b"01234"])
def test_a_stop_waits_for_no_request_that_is_not_complete(sent: bytes) -> None:
    @in_virtual_time
    async def run() -> None:
        server = Server()
        transport = server.connect()
        if sent:
            send(transport, sent)
        await turns()
        assert transport.protocol is not None
        transport.protocol.shutdown()
        await turns()
        assert transport.closed_at == 0
        if HEAD in sent:
            assert told(transport)["reason"] == "SERVER_STOPPING"

    run()


@in_virtual_time
async def test_a_stop_waits_for_an_answer() -> None:
    server = Server()
    server.answers.clear()
    transport = server.connect()
    send(transport, GET)
    await turns()
    assert transport.protocol is not None
    transport.protocol.shutdown()
    await turns()
    assert not transport.is_closing()
    server.answers.set()
    await turns()
    assert status(transport) == 200
    assert transport.is_closing()


@pytest.mark.parametrize("limit", [1, 10, 128, 10_000])
def test_what_is_accepted_at_once_stays_far_below_the_limit(limit: int) -> None:
    config = ConnectionsConfig(None, keep_alive=1, max_connections=limit, stop_seconds=1)
    assert 8 <= config.backlog <= max(8, limit / 8)
    assert config.backlog <= 128
