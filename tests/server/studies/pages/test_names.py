"""Names that nobody has, as strangers and people send them: each database refuses other characters."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.studies.pages.browsers import Browser
from server.studies.pages.studies import Opened
from studying import UtcClock
from whybox_server.studies.store import StudyStore


@pytest.fixture
def store(engine: AsyncEngine, clock: UtcClock) -> StudyStore:
    """On both databases."""
    return StudyStore(engine, clock)


@pytest.mark.parametrize(
    "external",
    [
        *("x" * 10_000, "a%0D%0ASet-Cookie:%20x=1", "%00", "a%00", "%E2%80%AE", "%ED%9F%BF" * 300, "a%09b", ""),
        # Half of a surrogate pair, and what is no UTF-8: all of these would be one person.
        *("%ED%A0%80", "a%ED%B0%80", "%FF", "a%FE"),
    ],
)
async def test_names_that_no_platform_gives(browser: Browser, study: Opened, external: str) -> None:
    response = await browser.client.get(f"{study.base}/?PROLIFIC_PID={external}")
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert (await study.store.status("shapes")).annotators["invited"] == 0


@pytest.mark.parametrize("token", ["", "%00", "a%00", "%ED%A0%80", "%FF", ".", "x.%00", "%00.x", "x" * 10_000])
async def test_tokens_that_no_invitation_has(browser: Browser, study: Opened, token: str) -> None:
    response = await browser.client.get(f"{study.base}/?invitation={token}")
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "path", ["%00", "shapes%00", "%0d%0aSet-Cookie:x=1", "x" * 5_000, "SHAPES", "%ff", "%ed%a0%80", "shapes%20"]
)
async def test_names_that_no_study_has(browser: Browser, study: Opened, path: str) -> None:
    response = await browser.client.get(f"/studies/{path}/")
    assert response.status_code == 404
    assert "set-cookie" not in response.headers
    assert study.study.state == "open"


@pytest.mark.parametrize(
    "name", ["", "p9999", "k0000", "../p0000", "p0000'; DROP TABLE assignments; --", "\x00", "p0000\0"]
)
async def test_pictures_that_were_not_asked_about(asked: Browser, study: Opened, name: str) -> None:
    await asked.press("Yes", picture=name)
    assert asked.path == "/studies/shapes/question"
    assert "has its answer already" in asked.page.text
    assert await study.answers() == []


@pytest.mark.parametrize("form", ["picture=%ED%A0%80", "picture=%FF", "key=%ED%A0%80", "csrf=%FF", "answer=%ED%A0%80"])
async def test_forms_in_bytes_that_are_no_text(asked: Browser, study: Opened, form: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await asked.client.post(f"{study.base}/answer", content=form, headers=headers)
    assert response.status_code == 400
    assert await study.answers() == []


@pytest.mark.parametrize("key", ["\0", "k\0", "\u00e9", " "])
async def test_keys_that_no_page_made(asked: Browser, study: Opened, key: str) -> None:
    await asked.press("Yes", key=key)
    assert asked.response.status_code < 500
    assert await study.answers() == []
