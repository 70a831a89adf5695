"""Scripts of other web pages: kept out by default, let in by a setting."""

from collections.abc import Callable

import httpx
import pytest

from server.conftest import LIMITS, MAX_IMAGE_BYTES, FakeGateway
from server.rest.sending import RAW, URL
from whybox_server.access.checking import Access
from whybox_server.monitoring.metrics import Metrics
from whybox_server.rest import create_app

PAGE = "https://app.example.com"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, inference-header-content-length, x-request-id",
}

Http = Callable[..., httpx.AsyncClient]


@pytest.fixture
def serving(gateway: FakeGateway) -> Http:
    """A client of an application for the pages of some origins."""

    def serve(*origins: str) -> httpx.AsyncClient:
        app = create_app(
            gateway, Metrics(), access=Access(None), max_image_bytes=MAX_IMAGE_BYTES, **LIMITS, cors_origins=origins
        )
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whybox")

    return serve


async def test_by_default_no_other_page_is_let_in(http: httpx.AsyncClient) -> None:
    preflight = await http.options(f"{URL}:predict", headers={"Origin": PAGE, **PREFLIGHT})
    assert (preflight.status_code, preflight.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
    answer = await http.post(f"{URL}:predict", content=RAW["content"], headers=RAW["headers"] | {"Origin": PAGE})
    assert answer.status_code == 200
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("origins", "page", "allowed"),
    [
        ([PAGE], PAGE, PAGE),
        ([f"{PAGE}/"], PAGE, PAGE),
        (["https://other.example.com", PAGE], PAGE, PAGE),
        (["*"], PAGE, "*"),
        ([PAGE], "https://evil.example.com", None),
        ([PAGE], "http://app.example.com", None),
        ([PAGE], "null", None),
    ],
)
async def test_named_pages_are_let_in(serving: Http, origins: list[str], page: str, allowed: str | None) -> None:
    async with serving(*origins) as http:
        preflight = await http.options(f"{URL}:predict", headers={"Origin": page, **PREFLIGHT})
        answer = await http.post(f"{URL}:predict", content=RAW["content"], headers=RAW["headers"] | {"Origin": page})
        problem = await http.post("/v1/models/other:predict", headers={"Origin": page})
    assert preflight.status_code == (400 if allowed is None else 200)
    assert (answer.status_code, problem.status_code) == (200, 404)
    for response in (preflight, answer, problem):
        assert response.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in response.headers
    for response in (answer, problem):
        exposed = response.headers["access-control-expose-headers"].lower().split(", ")
        assert {"x-request-id", "inference-header-content-length"} <= {*exposed}
