"""One real server for all tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from browsing import CHROMIUM
from servers import Server, serving
from whybox import Client

# One worker of each kind, which starts soon, with as much of the cores as the tests beside it.
_FEW_WORKERS = {"WHYBOX_PREDICT_WORKERS": "1", "WHYBOX_ANALYZE_WORKERS": "1", "WHYBOX_ANALYZE_NICE": "0"}


@pytest.fixture(scope="module", autouse=True)
def _few_workers() -> Iterator[None]:
    """For the servers that tests start by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _FEW_WORKERS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def server(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(archive.parent, tmp_path_factory.mktemp("logs"), **_FEW_WORKERS) as running:
        yield running


@pytest.fixture(scope="session", params=["grpc", "rest"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    """The client over each transport."""
    with Client(getattr(server, request.param), timeout=120) as connected:
        yield connected


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(params=["phone", "desk"])
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")
