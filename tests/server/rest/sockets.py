"""HTTP as bytes: requests that no client library sends, and what comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h11

from server.rest.sending import URL

_SECONDS = 10


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP.

    Attributes:
        status: Its status.
        headers: Its headers, their names in lower case.
        body: Its whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next final answer; one of 1xx before it is an error of the test."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="GET", target="/", headers=[("Host", "whybox")]))
        parser.send(h11.EndOfMessage())
        head: h11.Response | None = None
        body = b""
        async with asyncio.timeout(_SECONDS):
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    parser.receive_data(await self.reader.read(2**16))
                elif isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    headers = {name.decode(): value.decode() for name, value in head.headers}
                    return Answer(head.status_code, headers, body)
                else:
                    raise AssertionError(event)

    async def closed(self) -> bool:
        """Whether the server has closed the connection, or closes it soon."""
        async with asyncio.timeout(_SECONDS):
            return await self.reader.read(1) == b""


@dataclass(frozen=True)
class Port:
    """Where the server listens."""

    number: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def exchange(self, request: bytes, *, then_close: bool = False) -> Answer:
        """Sends bytes, and closes this half of the connection if told so; returns what is answered."""
        async with self.connect() as connection:
            await connection.send(request)
            if then_close:
                connection.writer.write_eof()
            return await connection.answer()


def post(
    action: str,
    body: bytes,
    content_type: str = "image/jpeg",
    headers: Mapping[str, str] | None = None,
    *,
    model: str = URL,
) -> bytes:
    """A POST as it goes over the wire; `headers` replace and add, and one that is empty is left out."""
    fields = {"Host": "whybox", "Content-Type": content_type, "Content-Length": str(len(body))} | dict(headers or {})
    lines = [f"POST {model}:{action} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(*parts: tuple[str, bytes], boundary: str = "XbX") -> bytes:
    """A form up to its closing boundary, without it; each part has what follows `name=` in its headers, and content."""
    return b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; name={head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
