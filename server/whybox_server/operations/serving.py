"""Operations in a server, beside the gateway's routes."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from starlette.routing import BaseRoute

from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.gateway.core import Gateway
from whybox_server.operations import rest, rpc
from whybox_server.operations.core import Limits, Operations
from whybox_server.operations.openapi import described
from whybox_server.operations.requests import requests_in
from whybox_server.operations.store import OperationStore
from whybox_server.rest.openapi import Described
from whybox_server.rpc.calls import Service
from whybox_server.settings import Settings


@dataclass(frozen=True)
class Beside:
    """What operations add to a server.

    Attributes:
        operations: Run within their `running`, which begins what an earlier server left.
        routes: Of REST.
        described: What the OpenAPI document says of them.
        services: Of gRPC.
    """

    operations: Operations
    routes: Sequence[BaseRoute]
    described: Described
    services: Sequence[Service]


@contextlib.asynccontextmanager
async def beside(settings: Settings, gateway: Gateway) -> AsyncIterator[Beside]:
    """Operations beside the gateway, as long as the context lasts.

    Args:
        settings: They name a database, whose tables are made or upgraded.
        gateway: What answers.

    Raises:
        DatabaseError: The database cannot be used.
        OperationsError: The folder of operations cannot be used.
    """
    engine = create_engine(settings.database)
    try:
        await upgrade(engine)
        with requests_in(settings.operation_dir or _folder(settings.database)) as requests:
            limits = Limits(
                hours=settings.operation_hours,
                timeout=settings.operation_timeout or settings.max_timeout,
                running=settings.operations_running,
                stored=settings.operations_stored,
            )
            operations = Operations(OperationStore(engine), requests, gateway, limits)
            yield Beside(
                operations,
                rest.routes(operations, default_timeout=settings.default_timeout, max_timeout=settings.max_timeout),
                described(),
                (rpc.service(operations),),
            )
    finally:
        await engine.dispose()


def _folder(database: str) -> Path:
    """Where the pictures lie unless a setting says so: beside the database, if that is a file."""
    url = make_url(database)
    return Path(f"{url.database}.operations") if url.get_backend_name() == "sqlite" else Path("operations")
