"""What an attacker tries: names of hosts, old cookies, other methods, slow forms, odd characters."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import itsdangerous
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from server.studies.folders import write_folder
from server.studies.pages.browsers import HOST, Browser
from server.studies.pages.studies import Opened
from virtual_time import in_virtual_time
from whybox_server.studies.pages import create_pages
from whybox_server.studies.pages.forms import read_form
from whybox_server.studies.protocol import Wording
from whybox_server.studies.store import StudyStore


@pytest.mark.parametrize(
    "host", ["evil.test/x?", 'a"><script>', "user@evil.test", "evil.test:80:80", "a b", "evil.test\\@b", ""]
)
async def test_names_of_hosts_that_are_none_stand_in_no_link(asked: Browser, study: Opened, host: str) -> None:
    response = await asked.client.get(f"{study.base}/paused", headers={"host": host})
    assert response.status_code == 200
    assert "evil" not in response.text
    assert "<script>" not in response.text


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-forwarded-prefix", "forwarded", "x-original-url"])
async def test_no_header_of_a_caller_changes_links(asked: Browser, study: Opened, name: str) -> None:
    response = await asked.client.get(f"{study.base}/paused", headers={name: "host=evil.test"})
    assert "evil" not in response.text


async def test_a_cookie_that_is_older_than_60_days(
    asked: Browser, study: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for days, status in ((59, 200), (61, 403)):
        later = int(now) + days * 24 * 3600
        monkeypatch.setattr(itsdangerous.TimestampSigner, "get_timestamp", lambda _, at=later: at)
        response = await asked.client.get(f"{study.base}/paused")
        assert response.status_code == status


async def test_an_attacker_chooses_no_session(browser: Browser, study: Opened, app: Starlette) -> None:
    """Cookie and token that a browser had before are worth nothing after an invitation of another person."""
    async with Browser(app) as attacker:
        await attacker.open(await study.invite())
        planted = attacker.client.cookies["whybox_study"]
        token = attacker.page.forms[f"{study.base}/consent"].fields["csrf"]
    browser.client.cookies.set("whybox_study", planted, domain="study.test", path="/studies/shapes")
    await browser.open(await study.invite())
    given = [cookie.value for cookie in browser.client.cookies.jar]
    assert len(given) == 1
    assert given != [planted]
    await browser.send(f"{study.base}/consent", {"csrf": token}, origin=HOST)
    assert browser.response.status_code == 403
    assert (await study.store.status("shapes")).annotators["active"] == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "GET", "HEAD"])
@pytest.mark.parametrize("path", ["consent", "answer", "undo", "pause", "withdraw"])
async def test_only_a_form_changes_anything(invited: Browser, study: Opened, method: str, path: str) -> None:
    before = await study.store.status("shapes")
    headers = {"origin": HOST, "x-http-method-override": "POST"}
    response = await invited.client.request(method, f"{study.base}/{path}?_method=POST", headers=headers)
    assert response.status_code in (200, 405)
    assert await study.store.status("shapes") == before


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test", "/\\evil.test"])
@pytest.mark.parametrize("name", ["return", "next", "return_address", "redirect", "notice"])
async def test_no_address_leads_away(browser: Browser, study: Opened, name: str, target: str) -> None:
    response = await browser.client.get(
        f"{study.base}/", params={"PROLIFIC_PID": "1", name: target}, follow_redirects=False
    )
    assert response.headers["location"] == "/studies/shapes/"


@pytest.mark.parametrize("kind", ["main", "pilot", "preview"])
@pytest.mark.parametrize("closed", [False, True])
async def test_a_stranger_learns_nothing(
    store: StudyStore, browser: Browser, tmp_path: Path, kind: str, closed: bool
) -> None:
    wording = Wording(title="Secret title", contact="someone@example.org")
    protocol = write_folder(tmp_path / "s", wording=wording)
    opened = await store.open(protocol, tmp_path / "s", kind=kind)  # type: ignore[arg-type]
    if closed:
        await store.close(opened.id, "a secret reason")
    for path in ("", "consent", "question", "finish", "left", "paused", "nothing", "pictures/x/" + "0" * 64):
        text = (await browser.client.get(f"/studies/{opened.id}/{path}")).text
        assert "<h1" in text
        assert not any(
            secret in text for secret in ("Secret", "someone", "secret", kind if kind != "main" else "Secret")
        )


async def test_the_reason_of_closing_is_for_the_owner(asked: Browser, study: Opened) -> None:
    await study.store.close("shapes", "<b>no money</b>")
    await asked.open(f"{study.base}/finish")
    assert "no money" not in asked.page.html


async def test_what_is_personal_is_kept_by_nobody(asked: Browser, study: Opened) -> None:
    for path in ("", "question", "paused", "instructions", "withdraw", "practised/k0000/yes", "nothing"):
        response = await asked.client.get(f"{study.base}/{path}", follow_redirects=False)
        assert response.headers["cache-control"] == "no-store"


@in_virtual_time
async def test_a_form_that_drips_is_given_up() -> None:
    """Each byte comes in time, but the form does not."""
    begun = asyncio.get_running_loop().time()

    async def drip() -> dict[str, object]:
        await asyncio.sleep(1)
        return {"type": "http.request", "body": b"a", "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", b"application/x-www-form-urlencoded")]}
    with pytest.raises(HTTPException) as raised:
        await read_form(Request(scope, drip))
    assert raised.value.status_code == 408
    assert asyncio.get_running_loop().time() - begun == 30


class _Behind:
    """What a proxy with a prefix and uvicorn's `root_path` make of a request."""

    def __init__(self, app: Starlette, prefix: str) -> None:
        self.app, self.prefix = app, prefix

    async def __call__(self, scope, receive, send) -> None:
        # The proxy takes the prefix away, and uvicorn puts it back beside `root_path`.
        assert scope["path"].startswith(f"{self.prefix}/")
        await self.app(scope | {"root_path": self.prefix}, receive, send)


@pytest.fixture
async def behind(store: StudyStore) -> AsyncIterator[Browser]:
    app = Starlette(routes=[Mount("/studies", create_pages(store))])
    async with Browser(_Behind(app, "/research")) as browser:
        yield browser


async def test_below_a_prefix(behind: Browser, study: Opened) -> None:
    await behind.open(f"/research{await study.invite(timedelta(days=1))}")
    assert behind.path == "/research/studies/shapes/consent"
    [cookie] = behind.client.cookies.jar
    assert cookie.path == "/research/studies/shapes"
    await behind.press("I agree and take part")
    await behind.follow("Start practising")
    for tag, given in behind.page.tags:
        for name in ("src", "href", "action"):
            assert given.get(name, "#").startswith(("/research/studies/", "#")), tag
    assert (await behind.client.get(behind.page.pictures[0]["src"])).status_code == 200
    await behind.press("Pause")
    [link] = [given["value"] for tag, given in behind.page.tags if given.get("id") == "link"]
    assert link.startswith(f"{HOST}/research/studies/shapes/?invitation=")
    await behind.open("/research/studies/none/")
    assert behind.response.status_code == 404
