"""The pages on a real database in a temporary folder."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from server.studies.folders import write_folder
from server.studies.pages.browsers import Browser
from server.studies.pages.studies import Opened
from studying import UtcClock
from whybox_server.database.engine import create_engine
from whybox_server.studies.pages import create_pages
from whybox_server.studies.protocol import Platform
from whybox_server.studies.store import StudyStore


@pytest.fixture
async def store(sqlite_url: str, clock: UtcClock) -> AsyncIterator[StudyStore]:
    """On SQLite alone, but for the walk and for names: the store itself is tested on both databases."""
    engine = create_engine(sqlite_url)
    yield StudyStore(engine, clock)
    await engine.dispose()


@pytest.fixture
def app(store: StudyStore) -> Starlette:
    return Starlette(routes=[Mount("/studies", create_pages(store))])


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[Browser]:
    async with Browser(app) as browser:
        yield browser


@pytest.fixture
async def study(store: StudyStore, tmp_path: Path) -> Opened:
    """A study of six pictures, two of them for practice beside, for invited people and for those of a platform."""
    platform = Platform(parameter="PROLIFIC_PID", return_address="https://platform.test/done?cc={code}")
    protocol = write_folder(tmp_path / "shapes", platform=platform)
    return Opened(store, await store.open(protocol, tmp_path / "shapes"))


@pytest.fixture
async def invited(browser: Browser, study: Opened) -> Browser:
    """A browser that shows the consent page."""
    await browser.open(await study.invite(timedelta(days=1)))
    return browser


@pytest.fixture
async def asked(invited: Browser) -> Browser:
    """A browser that shows the first question after practice."""
    await invited.press("I agree and take part")
    await invited.follow("Start practising")
    await invited.press("Yes")
    await invited.follow("Go on practising")
    await invited.press("Yes")
    await invited.follow("Start with the first picture")
    return invited
