"""A store on an empty database, and a way to open a study in it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from studying import UtcClock, write
from whybox_server.studies.protocol import Protocol
from whybox_server.studies.state import Study
from whybox_server.studies.store import StudyStore

Open = Callable[[Protocol], Awaitable[Study]]


@pytest.fixture
def clock() -> UtcClock:
    return UtcClock()


@pytest.fixture
def store(engine: AsyncEngine, clock: UtcClock) -> StudyStore:
    return StudyStore(engine, clock)


@pytest.fixture
def opened(store: StudyStore, tmp_path: Path) -> Open:
    """Writes the folder of a study and opens it."""

    async def opened(protocol: Protocol) -> Study:
        return await store.open(protocol, write(protocol, tmp_path / protocol.id))

    return opened
