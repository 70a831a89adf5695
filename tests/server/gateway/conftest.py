"""A gateway over `backend`, whose pools answer what a test tells them to, with a spool of its own and its metrics.

`backend` holds each job back until a test releases it; test modules with other pools have a `backend` of their own.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from server.backends import FakeBackend
from server.gateway.calls import LIMIT, MODEL
from server.gateway.jobs import Releasing
from server.waiting import settle
from whybox_server.gateway.audits import AuditFiles
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.deployment import Deployment
from whybox_server.gateway.spool import Spool
from whybox_server.monitoring.metrics import Metrics


@pytest.fixture
def backend() -> FakeBackend:
    return Releasing()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def spool(spooled: Callable[[], list[bytes]]) -> Iterator[Spool]:
    """Where pictures lie for the analysis pools. However a call ends, its picture is removed."""
    with Spool() as spool:
        yield spool
        assert spooled() == []


@pytest.fixture
def gateway(backend: FakeBackend, metrics: Metrics, spool: Spool) -> Gateway:
    """Serves `MODEL`."""
    return Gateway(Deployment([MODEL], backend, AuditFiles({})), metrics, spool, max_image_bytes=LIMIT)


@pytest.fixture
async def _nothing_leaks() -> AsyncIterator[None]:
    """No task is left over, and no exception is lost in one."""
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect(1)
    await settle()
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before
    assert lost == []
