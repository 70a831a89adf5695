"""What people must not be able to do, tried."""

import re
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from server.studies.folders import write_folder
from server.studies.pages.browsers import HOST, Browser
from server.studies.pages.studies import Opened
from studying import UtcClock
from whybox_server.studies.protocol import Answer, File, Item, KnownPicture, Label, Wording
from whybox_server.studies.store import StudyStore

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% for a in b %}",
    "'; DROP TABLE studies; --",
)
PAGES = ("", "consent", "decline", "instructions", "question", "paused", "finish", "withdraw")


async def other_study(store: StudyStore, folder: Path) -> Opened:
    return Opened(store, await store.open(write_folder(folder, study="other"), folder))


async def cookie_of(browser: Browser, address: str) -> str:
    """The cookie that an invitation brings, and what browsers are told about it."""
    response = await browser.client.get(address, follow_redirects=False)
    assert response.status_code == 303
    return response.headers["set-cookie"]


# The session.


async def test_the_cookie_is_for_this_study_and_no_script(browser: Browser, study: Opened) -> None:
    given = await cookie_of(browser, await study.invite())
    [(name, morsel)] = SimpleCookie(given).items()
    assert name == "whybox_study"
    assert (morsel["path"], morsel["httponly"], morsel["samesite"]) == ("/studies/shapes", True, "lax")
    assert morsel["secure"] == ""
    browser.client.cookies.clear()
    secure = await cookie_of(browser, f"https://study.test{await study.invite()}")
    assert "; Secure" in secure


async def test_the_token_leaves_the_address(browser: Browser, study: Opened) -> None:
    response = await browser.client.get(await study.invite(), follow_redirects=False)
    assert response.headers["location"] == "/studies/shapes/"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("page", PAGES)
async def test_no_page_without_a_session(browser: Browser, study: Opened, page: str) -> None:
    await browser.open(f"{study.base}/{page}")
    assert browser.response.status_code == 403
    assert browser.page.heading == "Please come in by your invitation"


async def test_a_cookie_of_another_study(
    invited: Browser, study: Opened, store: StudyStore, tmp_path: Path, app: Starlette
) -> None:
    """A cookie that a person copies by hand, as browsers keep it to its path."""
    other = await other_study(store, tmp_path / "other")
    value = invited.client.cookies["whybox_study"]
    async with Browser(app) as thief:
        thief.client.cookies.set("whybox_study", value)
        await thief.open(f"{study.base}/consent")
        assert thief.response.status_code == 200
        await thief.open(f"{other.base}/consent")
        assert thief.response.status_code == 403


@pytest.mark.parametrize("change", ["", "x", "swapped", "unsigned"])
async def test_a_forged_cookie(invited: Browser, study: Opened, app: Starlette, change: str) -> None:
    value = invited.client.cookies["whybox_study"]
    forged = {
        "": "",
        "x": value[:-2] + ("AA" if value[-2:] != "AA" else "BB"),
        "swapped": ("A" if value[0] != "A" else "B") + value[1:],
        "unsigned": value.rpartition(".")[0],
    }[change]
    async with Browser(app) as forger:
        forger.client.cookies.set("whybox_study", forged)
        await forger.open(f"{study.base}/consent")
        assert forger.response.status_code == 403


# Invitations.


async def test_an_invitation_that_expired(browser: Browser, study: Opened, clock: UtcClock) -> None:
    address = await study.invite(timedelta(hours=1))
    clock.turn(hours=1)
    await browser.open(address)
    assert browser.response.status_code == 403
    assert "It may have expired" in browser.page.text


async def test_an_invitation_to_another_study(
    browser: Browser, study: Opened, store: StudyStore, tmp_path: Path
) -> None:
    other = await other_study(store, tmp_path / "other")
    address = (await other.invite()).replace("/other/", "/shapes/")
    await browser.open(address)
    assert browser.response.status_code == 403
    assert list(browser.client.cookies.jar) == []
    assert study.study.state == "open"


async def test_an_invitation_of_a_person_who_withdrew(browser: Browser, study: Opened) -> None:
    address = await study.invite()
    await browser.open(address)
    await browser.press("I agree and take part")
    await browser.follow("Leave and delete my answers")
    await browser.press("Delete all my answers")
    await browser.open(address)
    assert browser.response.status_code == 403


# Forms.


@pytest.mark.parametrize("action", ["consent", "answer", "undo", "pause", "withdraw"])
@pytest.mark.parametrize("which", ["", "guessed", "of another"])
async def test_a_form_needs_the_token_of_its_session(
    asked: Browser, study: Opened, app: Starlette, action: str, which: str
) -> None:
    fields = asked.page.forms["answer"].fields | {"answer": "yes", "csrf": "" if which == "" else "guessed"}
    if which == "of another":
        async with Browser(app) as other:
            await other.open(await study.invite())
            fields["csrf"] = other.page.forms[f"{study.base}/consent"].fields["csrf"]
    await asked.send(f"{study.base}/{action}", fields, origin=HOST)
    assert asked.response.status_code == 403
    assert asked.page.heading == "This form is out of date"
    await asked.open(f"{study.base}/question")
    assert "Question 1 of 6" in asked.page.text
    assert await study.answers() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": f"{HOST}.evil.test"},
        {"origin": HOST, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_forms_of_other_sites(asked: Browser, study: Opened, headers: dict[str, str]) -> None:
    """Even with the right token."""
    form = asked.page.forms["answer"]
    await asked.send(form.action, form.fields | {"answer": "yes"}, **headers)
    assert asked.response.status_code == 403
    assert await study.answers() == []


async def test_a_browser_that_names_no_origin(asked: Browser, study: Opened) -> None:
    form = asked.page.forms["answer"]
    await asked.send(form.action, form.fields | {"answer": "yes"})
    assert len(await study.answers()) == 1


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(30)), "application/x-www-form-urlencoded", 400),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400),
        (b"csrf=\xff", "application/x-www-form-urlencoded", 400),
        (b"csrf=%C3%A4", "application/x-www-form-urlencoded", 403),
    ],
)
async def test_what_is_no_form(asked: Browser, study: Opened, content: bytes, media_type: str, status: int) -> None:
    response = await asked.client.post(
        f"{study.base}/answer", content=content, headers={"content-type": media_type, "origin": HOST}
    )
    assert response.status_code == status
    assert "<h1" in response.text


@pytest.mark.parametrize(
    "changed",
    [
        {"answer": "maybe"},
        {"answer": "' OR 1=1 --"},
        {"milliseconds": "-1"},
        {"milliseconds": "1e3"},
        {"milliseconds": "\u0663"},
        {"milliseconds": "2147483648"},
        {"key": ""},
        {"key": "x" * 65},
    ],
)
async def test_answers_that_are_none(asked: Browser, study: Opened, changed: dict[str, str]) -> None:
    await asked.press("Yes", **changed)
    assert asked.response.status_code == 400
    assert asked.page.heading == "This cannot be done"
    assert await study.answers() == []


# Pictures.


async def test_pictures_are_for_the_person_who_was_asked(asked: Browser, study: Opened, app: Starlette) -> None:
    address = asked.page.pictures[0]["src"]
    shown = await asked.client.get(address)
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert shown.headers["x-content-type-options"] == "nosniff"
    # It stays, should the page be loaded again after the answer.
    await asked.press("Yes")
    assert (await asked.client.get(address)).status_code == 200
    async with Browser(app) as other:
        assert (await other.client.get(address)).status_code == 403
        await other.open(await study.invite())
        assert (await other.client.get(address)).status_code == 404


async def test_no_other_picture_can_be_had(asked: Browser, study: Opened) -> None:
    seal = asked.page.pictures[0]["src"].split("/")[-2]
    shown = {given["src"].split("/")[-1] for given in asked.page.pictures}
    others = [file.sha256 for file in study.study.protocol.files().values() if file.sha256 not in shown]
    assert len(others) > 40
    statuses = {(await asked.client.get(f"{study.base}/pictures/{seal}/{digest}")).status_code for digest in others}
    assert statuses == {404}


@pytest.mark.parametrize(
    "path", ["protocol.json", "..%2fprotocol.json", "%2e%2e%2f%2e%2e%2fstudies.db", "../../../etc/passwd", "%00"]
)
async def test_no_path_reaches_the_disk(asked: Browser, study: Opened, path: str) -> None:
    for address in (f"{study.base}/pictures/x/{path}", f"/studies/_static/{path}", f"/studies/{path}/"):
        response = await asked.client.get(address)
        assert response.status_code == 404
        assert "sha256" not in response.text


async def test_a_file_that_changed_is_not_shown(asked: Browser, study: Opened) -> None:
    digest = asked.page.pictures[0]["src"].split("/")[-1]
    [file] = [file for file in study.study.protocol.files().values() if file.sha256 == digest]
    (study.study.folder / file.path).write_bytes(b"another picture")
    await asked.open(asked.page.pictures[0]["src"])
    assert asked.response.status_code == 500
    assert asked.page.heading == "The study has a fault"
    assert str(study.study.folder) not in asked.page.html


# What is stored and shown.


async def test_stored_texts_are_never_html(store: StudyStore, tmp_path: Path, browser: Browser) -> None:
    folder = tmp_path / "s"
    wording = Wording(
        title=HOSTILE[0],
        question="{label} " + HOSTILE[1],
        yes=HOSTILE[0],
        instructions=HOSTILE,
        consent=HOSTILE,
        thanks=HOSTILE[0],
        contact=HOSTILE[1],
        feature=HOSTILE[0],
        example=HOSTILE[0],
    )
    protocol = write_folder(folder, labels=HOSTILE, practice=0, pictures=6, wording=wording)
    name = "pictures/'\"><img src=x onerror=alert(1)>.png"
    (folder / name).write_bytes((folder / protocol.pictures[0].items[0].picture.path).read_bytes())
    digest, size = protocol.pictures[0].items[0].picture.sha256, 224
    hostile = KnownPicture(
        id="k",
        item=Item(
            cells=("practice",),
            label=Label(index=0, text=HOSTILE[1]),
            picture=File(path=name, sha256=digest, width=size, height=size),
        ),
        right=Answer.YES,
        why=HOSTILE[0],
    )
    protocol = protocol.model_copy(update={"practice": (hostile,)})
    (folder / "protocol.json").write_text(protocol.model_dump_json())
    study = Opened(store, await store.open(protocol, folder))
    await browser.open(await study.invite())
    pages = [browser.response.text]
    await browser.press("I agree and take part")
    pages.append(browser.response.text)
    await browser.follow("Start practising")
    pages.append(browser.response.text)
    assert (await browser.client.get(browser.page.pictures[0]["src"])).headers["content-type"] == "image/png"
    await browser.press("No")
    pages.append(browser.response.text)
    await browser.follow("Start with the first picture")
    for _ in range(6):
        pages.append(browser.response.text)
        await browser.press("No")
    pages.append(browser.response.text)
    assert browser.page.heading == "All done"
    for page in pages:
        assert re.findall(r"<script[^>]*>", page) == re.findall(r'<script src="/studies/_static/[\w.]+" defer>', page)
        assert not re.search(r"<[^>]*\son\w+=", page)
        assert "49" not in re.sub(r'"[^"]*"', "", page)
    assert "{{ 7 * 7 }}" in pages[0]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_an_address_holds_is_never_html_or_sql(browser: Browser, study: Opened, hostile: str) -> None:
    for address in (
        f"/studies/{hostile.replace('/', '%2f')}/",
        f"{study.base}/practised/k0000/{hostile.replace('/', '%2f')}",
        f"{study.base}/question?notice={hostile}",
    ):
        response = await browser.client.get(address)
        assert response.status_code in (403, 404)
        assert hostile not in response.text
    await browser.client.get(f"{study.base}/", params={"PROLIFIC_PID": hostile})
    await browser.client.get(f"{study.base}/", params={"invitation": hostile})
    async with study.store._engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM studies"))).scalar() == 1


async def test_what_browsers_may_do(asked: Browser, study: Opened) -> None:
    script = next(given["src"] for tag, given in asked.page.tags if tag == "script")
    for address in (f"{study.base}/question", "/studies/none/", f"{study.base}/nothing", script):
        headers = (await asked.client.get(address)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert ("no-store" in headers["cache-control"]) == (address != script)
    for tag, given in asked.page.tags:
        assert "style" not in given
        assert not any(name.startswith("on") for name in given)
        assert all(given.get(name, "#").startswith(("/studies/", "#")) for name in ("src", "href", "action")), tag


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/studies/none/", 404),
        ("GET", "/studies/shapes/nothing", 404),
        ("GET", "/studies/", 404),
        ("GET", "/studies/shapes/answer", 405),
        ("DELETE", "/studies/shapes/question", 405),
    ],
)
async def test_errors_are_pages(browser: Browser, study: Opened, method: str, path: str, status: int) -> None:
    response = await browser.client.request(method, path)
    assert study.study.id == "shapes"
    assert response.status_code == status
    assert "<h1" in response.text
