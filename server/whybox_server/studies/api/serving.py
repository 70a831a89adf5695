"""The pages of studies in a server: by themselves, or beside the gateway's routes."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from whybox_server.access.certificates import Certificates
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.monitoring.open_files import connection_shares
from whybox_server.rest.connections import ConnectionsConfig, serving
from whybox_server.rest.openapi import Described
from whybox_server.rpc.calls import Service
from whybox_server.studies.api import rest, rpc
from whybox_server.studies.api.core import StudyApi
from whybox_server.studies.api.results import Results
from whybox_server.studies.pages import create_pages
from whybox_server.studies.store import StudyStore

PREFIX = "/studies"
"""Where the pages are."""

_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 5


@dataclass(frozen=True)
class Beside:
    """What studies add to a server.

    Attributes:
        routes: Of REST: the API, and the pages.
        described: What the OpenAPI document says of the API.
        services: Of gRPC.
        listens: To be told where REST listens, "http://host:port" or "https://host:port", before anyone is invited.
    """

    routes: Sequence[BaseRoute]
    described: Described
    services: Sequence[Service]
    listens: Callable[[str], None]


@contextlib.asynccontextmanager
async def beside(
    database: str, public_url: str, *, default_timeout: float, max_timeout: float
) -> AsyncIterator[Beside]:
    """Pages and API beside the gateway, as long as the context lasts.

    Args:
        database: Its URL. Tables are made or upgraded.
        public_url: Address under which people reach the server; "" for where REST listens.
        default_timeout: Seconds for a request that names no timeout.
        max_timeout: Seconds that no request may exceed.

    Raises:
        DatabaseError: The database cannot be used.
    """
    address = public_url.rstrip("/")

    def listens(rest_address: str) -> None:
        nonlocal address
        address = address or rest_address

    async with _store(database) as store, Results.running(store) as results:
        api = StudyApi(store, results, lambda: f"{address}{PREFIX}")
        yield Beside(
            routes=(*rest.routes(api, default_timeout=default_timeout, max_timeout=max_timeout), _pages(store)),
            described=rest.described(),
            services=(rpc.service(api),),
            listens=listens,
        )


@contextlib.asynccontextmanager
async def _store(database: str) -> AsyncIterator[StudyStore]:
    engine = create_engine(database)
    try:
        await upgrade(engine)
        yield StudyStore(engine)
    finally:
        await engine.dispose()


def _pages(store: StudyStore) -> Mount:
    return Mount(PREFIX, create_pages(store))


async def serve_pages(
    database: str,
    host: str,
    port: int,
    listens: Callable[[str], None],
    *,
    prefix: str = "",
    certificates: Certificates | None = None,
) -> None:
    """Serves the pages until SIGINT or SIGTERM.

    Args:
        database: Its URL.
        host: Address to listen on.
        port: 0 takes a free one.
        listens: Called with "http://host:port", or "https://host:port", once people can come.
        prefix: Path that a proxy takes away, such as "/research"; "" for none.
        certificates: For TLS; None speaks plain text.

    Raises:
        CannotListenError: The port is taken, or the address is not of this machine.
        DatabaseError: The database cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _store(database) as store:
        config = ConnectionsConfig(
            Starlette(routes=[_pages(store)]),
            keep_alive=_KEEP_ALIVE_SECONDS,
            max_connections=connection_shares().rest,
            stop_seconds=_STOP_SECONDS,
            root_path=prefix,
            certificates=certificates,
        )
        async with serving(config, host, port) as address:
            listens(address)
            await stop.wait()
