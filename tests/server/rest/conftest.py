"""The application behind the HTTP server that serves it, for requests that are sent byte by byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette

from server.rest.sockets import Port
from whybox_server.rest.bodies.cut_off import CutOffProtocol


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def port(app: Starlette) -> AsyncIterator[Port]:
    """A port of loopback at which the application is served."""
    config = uvicorn.Config(app, http=CutOffProtocol, ws="none", log_config=None, lifespan="off")
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield Port(listener.getsockname()[1])
        server.should_exit = True
        await serving
