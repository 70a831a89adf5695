"""The pages of studies in a server: by themselves, or beside the gateway's routes."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.routing import Mount

from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.monitoring.open_files import connection_shares
from whybox_server.rest.connections import ConnectionsConfig, serving
from whybox_server.studies.pages import create_pages
from whybox_server.studies.store import StudyStore

PREFIX = "/studies"
"""Where the pages are."""

_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 5


@contextlib.asynccontextmanager
async def pages_mount(database: str) -> AsyncIterator[Mount]:
    """The pages under `PREFIX`, as long as the context lasts.

    Args:
        database: Its URL. Tables are made or upgraded.

    Raises:
        DatabaseError: The database cannot be used.
    """
    engine = create_engine(database)
    try:
        await upgrade(engine)
        yield Mount(PREFIX, create_pages(StudyStore(engine)))
    finally:
        await engine.dispose()


async def serve_pages(database: str, host: str, port: int, listens: Callable[[str], None], prefix: str = "") -> None:
    """Serves the pages until SIGINT or SIGTERM.

    Args:
        database: Its URL.
        host: Address to listen on.
        port: 0 takes a free one.
        listens: Called with "http://host:port" once people can come.
        prefix: Path that a proxy takes away, such as "/research"; "" for none.

    Raises:
        CannotListenError: The port is taken, or the address is not of this machine.
        DatabaseError: The database cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with pages_mount(database) as mount:
        config = ConnectionsConfig(
            Starlette(routes=[mount]),
            keep_alive=_KEEP_ALIVE_SECONDS,
            max_connections=connection_shares().rest,
            stop_seconds=_STOP_SECONDS,
            root_path=prefix,
        )
        async with serving(config, host, port) as address:
            listens(address)
            await stop.wait()
