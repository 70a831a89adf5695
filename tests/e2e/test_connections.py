"""1,000 idle connections and 200 half-sent uploads beside callers who do nothing wrong, on the real server.

No good request fails, and the server ends each of the others within its limit: it has as many open files as before.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import psutil
import pytest

from servers import Server, serving
from whybox import Client

FILES = 4096
"""Open files that the server may have: a quarter are connections of gRPC."""
IDLE_SECONDS = 8
UPLOAD_SECONDS = 8
# The longest is that of REST: 30 s for the next byte of a body.
ALL_ENDED_SECONDS = 50
SLACK_FILES = 5
"""Files that the server may have open for other reasons, as logs that are rotated."""

PATH = "/v1/models/efficientnet-lite0:predict"
GET = b"GET /healthz HTTP/1.1\r\nHost: whybox\r\n\r\n"


def post(kind: str, length: str, body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: whybox\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
    return head.encode() + body


FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n' + bytes(500)
HALF_OVER_REST = {
    "raw": post("image/jpeg", "Content-Length: 100000", bytes(500)),
    "multipart": post("multipart/form-data; boundary=b", "Content-Length: 100000", FORM),
    "chunked": post("image/jpeg", "Transfer-Encoding: chunked", b"3e8\r\n" + bytes(500)),
}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def header(name: str, value: str) -> bytes:
    """A field that is not indexed, with a new name and without Huffman codes (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


DATA, HEADERS, SETTINGS = 0, 1, 4
END_HEADERS, ACK = 4, 1
# A connection that speaks HTTP/2 and asks for nothing.
CONNECTED = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + frame(SETTINGS, ACK, 0, b"")
CALLING = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/whybox.v1.AnalysisService/Analyze",
    ":authority": "whybox",
    "te": "trailers",
    "content-type": "application/grpc",
}
# A call whose message has 100,000 bytes, of which 500 come.
HALF_OVER_GRPC = (
    CONNECTED
    + frame(HEADERS, END_HEADERS, 1, b"".join(header(*each) for each in CALLING.items()))
    + frame(DATA, 0, 1, b"\0" + (100_000).to_bytes(4, "big") + bytes(500))
)

# What is sent -> connections that send it, and what the server says at last.
REST = {
    b"": (250, b""),
    GET: (250, b"HTTP/1.1 200 "),
    HALF_OVER_REST["raw"]: (40, b"HTTP/1.1 408 "),
    HALF_OVER_REST["multipart"]: (40, b"HTTP/1.1 408 "),
    HALF_OVER_REST["chunked"]: (40, b"HTTP/1.1 408 "),
}
GRPC = {CONNECTED: 500, HALF_OVER_GRPC: 80}
HELD = sum(count for count, _ in REST.values()) + sum(GRPC.values())


@pytest.fixture
def server(archive: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with short limits, and room for the connections on both sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"{FILES} open files are needed, and {hard} allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        limits = {
            "WHYBOX_REST_KEEP_ALIVE": str(IDLE_SECONDS),
            "WHYBOX_GRPC_KEEP_ALIVE": str(IDLE_SECONDS),
            "WHYBOX_GRPC_UPLOAD_SECONDS": str(UPLOAD_SECONDS),
        }
        with serving(archive.parent, tmp_path, **limits) as running:
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(0.1)


@asynccontextmanager
async def good_callers(server: Server, picture: bytes) -> AsyncIterator[list[float]]:
    """Two callers, one on each transport, who ask for predictions all the time; yields the seconds of each answer."""
    took: list[float] = []
    enough = Event()

    def ask(url: str) -> None:
        with Client(url, timeout=20) as client:
            while not enough.is_set():
                began = time.perf_counter()
                assert client.predict(picture).classes[0].index == 251
                took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for url in (server.rest, server.grpc):
            group.create_task(asyncio.to_thread(ask, url))
        try:
            await until(lambda: len(took) >= 20)
            yield took
        finally:
            enough.set()


async def held(address: str, sent: bytes) -> bytes:
    """What the server says on a connection that sends this, until the server closes it."""
    host, port = address.partition("//")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        said = b""
        while more := await reader.read(2**16):
            said += more
        return said
    except ConnectionResetError:
        return said
    finally:
        writer.close()


async def test_good_callers_notice_nothing_of_those_who_hold_connections(server: Server, dalmatian: bytes) -> None:
    process = psutil.Process(server.process.pid)
    async with good_callers(server, dalmatian) as took, asyncio.timeout(ALL_ENDED_SECONDS):
        before, answered = process.num_fds(), len(took)
        over_rest = [(sent, end) for sent, (count, end) in REST.items() for _ in range(count)]
        over_grpc = [sent for sent, count in GRPC.items() for _ in range(count)]
        holding = asyncio.gather(
            *(held(server.rest, sent) for sent, _ in over_rest), *(held(server.grpc, sent) for sent in over_grpc)
        )
        most = 0
        while most < before + HELD and not holding.done():
            await asyncio.sleep(0.05)
            most = max(most, process.num_fds())
        assert most >= before + HELD
        said = await holding
        for (_, end), words in zip(over_rest, said, strict=False):
            assert words.startswith(end)
        await until(lambda: process.num_fds() <= before + SLACK_FILES)
        assert len(took) > answered
    print(f"{len(took)} predictions, the slowest in {max(took):.2f} s; {before} files, {most} at most")  # noqa: T201
