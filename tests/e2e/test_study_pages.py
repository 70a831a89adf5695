"""The pages of a study in a real browser, at the width of a phone and of a desk: keys, undo, a second device, axe."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from presence import present
from server.studies.folders import write_folder
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.studies.protocol import Answer, Platform, Policy, Wording
from whybox_server.studies.state import RawVotes
from whybox_server.studies.store import StudyStore

CHROMIUM = Path("/usr/bin/chromium")
SIZES = {"phone": (390, 844), "desk": (1280, 800), "small": (320, 640)}
WIDTHS = ("phone", "desk")
PICTURES, PRACTICE = 6, 2
# Where screenshots go, for people who want to look at them.
SHOTS = os.environ.get("WHYBOX_SCREENSHOTS")


@dataclass(frozen=True)
class Study:
    """A study behind a running server.

    Attributes:
        address: "http://host:port/studies/shapes".
        database: Its URL.
        invite: Makes the address of an invitation.
    """

    address: str
    database: str

    def invite(self) -> str:
        [token] = self._ask(lambda store: store.invite("shapes", 1, timedelta(hours=1)))
        return f"{self.address}/?invitation={token}"

    def votes(self) -> RawVotes:
        votes = self._ask(lambda store: store.votes("shapes"))
        assert isinstance(votes, RawVotes)
        return votes

    def _ask(self, question: Callable[[StudyStore], Any]) -> Any:
        return with_store(self.database, question)


def with_store(database: str, question: Callable[[StudyStore], Any]) -> Any:
    """What the store answers, from beside the server."""

    async def ask() -> Any:
        engine = create_engine(database)
        try:
            await upgrade(engine)
            return await question(StudyStore(engine))
        finally:
            await engine.dispose()

    # Playwright keeps a loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(ask())).result()


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """A fresh study, served by `whybox-server study serve`."""
    with served_study(tmp_path) as study:
        yield study


@contextmanager
def served_study(tmp_path: Path, **fields: Any) -> Iterator[Study]:
    photos = (
        sorted((Path(os.environ["WHYBOX_DATA"]) / "cc-by").glob("*.jpg"))[:40] if "WHYBOX_DATA" in os.environ else []
    )
    protocol = write_folder(
        tmp_path / "shapes",
        pictures=PICTURES,
        practice=PRACTICE,
        photos=photos,
        **fields,
        policy=Policy(answers=(Answer.YES, Answer.NO, Answer.MAYBE)),
        platform=Platform(parameter="PROLIFIC_PID", return_address="https://platform.test/?cc={code}"),
    )
    database = f"sqlite:///{tmp_path}/studies.db"
    with_store(database, lambda store: store.open(protocol, tmp_path / "shapes"))
    with serving(database) as address:
        yield Study(f"{address}/studies/shapes", database)


@contextmanager
def serving(database: str) -> Iterator[str]:
    command: list[str | Path] = [
        Path(sys.executable).with_name("whybox-server"),
        "study",
        "serve",
        "--database",
        database,
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = present(process.stdout).readline()
            yield present(re.search(r"http://[^/]+", line))[0]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert status == 0


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


@pytest.fixture(params=WIDTHS)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(chromium: Browser, size: str, scheme: str = "light", **options: Any) -> BrowserContext:
    width, height = SIZES[size]
    is_phone = size != "desk"
    return chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=is_phone,
        is_mobile=is_phone,
        **options,
    )


# What a finger has to meet is at least 44 pixels wide and high; what only a keyboard reaches is out of sight.
TOO_SMALL = """() => [...document.querySelectorAll("button, input:not([type=hidden]), .button, footer a")]
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.width < 44 || box.height < 44))
  .map(([each, box]) => `${each.outerHTML} ${box.width} x ${box.height}`)"""

# The spacing that people may ask for (WCAG 1.4.12).
SPACED = """* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
p { margin-block-end: 2em !important }"""
# The policy of the pages allows no style inside of them, but one that the browser adds.
SPACE_OUT = """(text) => { const sheet = new CSSStyleSheet(); sheet.replaceSync(text);
document.adoptedStyleSheets = [sheet] }"""

# Text that is cut off, beside the title of the study, which is on every page.
CUT_OFF = """() => [...document.querySelectorAll("h1, h2, p:not(.study, .unseen), li, button, a:not(.skip), dd")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== "inline")
  .map((each) => each.outerHTML)"""


def fits(page: Page) -> None:
    """Nothing sticks out to the side. A phone would make the page smaller, and `innerWidth` larger."""
    width = present(page.viewport_size)["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


class Looks:
    """Looks at each page.

    axe finds nothing, nothing sticks out to the side, a finger meets every button, and the browser reports nothing.
    """

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._name, self._number = page, name, 0
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def at(self, what: str) -> None:
        self._page.wait_for_load_state("networkidle")
        # Until colours have changed.
        self._page.evaluate("() => Promise.allSettled(document.getAnimations().map((each) => each.finished))")
        if SHOTS:
            self._number += 1
            self._page.screenshot(path=Path(SHOTS) / f"{self._name}-{self._number:02}-{what}.png")
        found = Axe().run(self._page)
        assert found.violations_count == 0, found.generate_report()
        fits(self._page)
        assert self._page.evaluate(TOO_SMALL) == []
        assert self.said == []


def ready(page: Page, number: int, *, practice: bool = False) -> None:
    """Waits until a question is displayed, from when on keys are taken."""
    kind, total = ("Practice", PRACTICE) if practice else ("Question", PICTURES)
    expect(page.locator(".count")).to_have_text(f"{kind} {number} of {total}")
    expect(page.locator("#page[data-shown]")).to_be_attached()


def practise(page: Page) -> None:
    page.get_by_role("button", name="I agree and take part").click()
    page.get_by_role("link", name="Start practising").click()
    for number in range(1, PRACTICE + 1):
        ready(page, number, practice=True)
        page.keyboard.press("y")
        page.locator("[data-continue]").click()
    ready(page, 1)


def test_the_whole_walk(chromium: Browser, study: Study, size: str, scheme: str) -> None:
    with opened(chromium, size, scheme) as context:
        page = context.new_page()
        looks = Looks(page, f"{size}-{scheme}")
        page.goto(study.invite())
        looks.at("consent")
        page.get_by_role("button", name="I agree and take part").click()
        looks.at("instructions")
        page.get_by_role("link", name="Start practising").click()
        ready(page, 1, practice=True)
        looks.at("practice")
        page.keyboard.press("y")
        expect(page.get_by_role("heading", level=1)).to_have_text("✓ That is the expected answer")
        looks.at("right")
        page.keyboard.press("Tab")
        page.get_by_role("link", name="Go on practising").press("Enter")
        ready(page, 2, practice=True)
        page.keyboard.press("y")
        expect(page.get_by_role("heading", level=1)).to_have_text("✗ Another answer is expected")
        looks.at("wrong")
        page.get_by_role("link", name="Start with the first picture").click()
        for number, key in enumerate("yynmyn", start=1):
            ready(page, number)
            # The question is what a screen reader reads next.
            assert page.evaluate("document.activeElement.id") == "question"
            looks.at(f"question-{number}")
            if number == 4:
                page.keyboard.press("u")
                ready(page, 3)
                page.keyboard.press("m")
                ready(page, 4)
                page.reload()
                ready(page, 4)
            page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text("All done")
        looks.at("finish")
        page.get_by_role("link", name="Delete my answers").click()
        looks.at("withdraw")
        votes = study.votes()
        assert [vote.answer.value for vote in votes.items] == ["yes", "yes", "maybe", "maybe", "yes", "no"]
        assert all(vote.milliseconds is not None and 0 < vote.milliseconds < 120_000 for vote in votes.items)
        assert len(votes.practice) == PRACTICE
        page.get_by_role("button", name="Delete all my answers").click()
        looks.at("left")
        assert study.votes().items == ()


def test_on_a_second_device(chromium: Browser, study: Study, size: str) -> None:
    with opened(chromium, size) as context:
        page = context.new_page()
        page.goto(study.invite())
        practise(page)
        page.keyboard.press("y")
        ready(page, 2)
        page.get_by_role("button", name="Pause").click()
        Looks(page, f"{size}-pause").at("paused")
        link = page.get_by_label("Your link").input_value()
    with opened(chromium, "phone") as elsewhere:
        page = elsewhere.new_page()
        page.goto(link)
        ready(page, 2)
        assert "invitation" not in page.url
        page.get_by_role("button", name="No", exact=False).first.click()
        ready(page, 3)
    assert [vote.answer.value for vote in study.votes().items] == ["yes", "no"]


def test_without_scripts(chromium: Browser, study: Study, size: str) -> None:
    with opened(chromium, size, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{study.address}/?PROLIFIC_PID=5f")
        page.get_by_role("button", name="I agree and take part").click()
        page.get_by_role("link", name="Start practising").click()
        for _ in range(PRACTICE):
            page.get_by_role("button", name="No", exact=True).click()
            page.locator("[data-continue]").click()
        expect(page.locator("kbd").first).to_be_hidden()
        page.get_by_role("button", name="I cannot see or judge this picture").click()
        page.get_by_role("button", name="Undo last answer").click()
        for number in range(1, PICTURES + 1):
            expect(page.locator(".count")).to_have_text(f"Question {number} of {PICTURES}")
            page.get_by_role("button", name="Maybe", exact=True).click()
        code = page.locator("#code").inner_text()
        expect(page.get_by_role("link", name="Return to the platform")).to_have_attribute(
            "href", f"https://platform.test/?cc={code}"
        )
    votes = study.votes().items
    assert [(vote.answer.value, vote.milliseconds) for vote in votes] == [("maybe", None)] * PICTURES


def test_a_lost_network(chromium: Browser, study: Study) -> None:
    """The answer arrives, its confirmation does not: it is sent again and counts once."""
    with opened(chromium, "phone") as context:
        page = context.new_page()
        page.goto(study.invite())
        practise(page)
        lost: list[int] = []
        is_away = True

        def lose(route: Route) -> None:
            if is_away:
                lost.append(route.fetch(max_redirects=0).status)
                route.abort()
            else:
                route.continue_()

        page.route("**/answer", lose)
        page.keyboard.press("y")
        expect(page.locator("#status")).to_have_text("The connection is lost. Your answer is kept here and sent again.")
        Looks(page, "phone-lost")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / "phone-lost.png")
        is_away = False
        page.evaluate("dispatchEvent(new Event('online'))")
        ready(page, 2)
        assert set(lost) == {200}
    assert len(study.votes().items) == 1


def test_keys_can_be_switched_off(chromium: Browser, study: Study) -> None:
    with opened(chromium, "desk") as context:
        page = context.new_page()
        page.goto(study.invite())
        practise(page)
        page.get_by_role("button", name="Switch keys off").click()
        page.keyboard.press("y")
        page.reload()
        ready(page, 1)
        expect(page.get_by_role("button", name="Switch keys on")).to_be_visible()
        page.keyboard.press("y")
        expect(page.locator("kbd").first).to_be_hidden()
        # By keyboard alone, without letters: from the question to the first answer.
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        ready(page, 2)
    assert [vote.answer.value for vote in study.votes().items] == ["yes"]


@pytest.mark.parametrize("where", ["expired", "unknown", "nothing"])
def test_errors(chromium: Browser, study: Study, size: str, where: str) -> None:
    address = {
        "expired": f"{study.address}/?invitation=old",
        "unknown": study.address.replace("shapes", "none"),
        "nothing": f"{study.address}/nothing",
    }[where]
    with opened(chromium, size) as context:
        page = context.new_page()
        page.goto(address)
        looks = Looks(page, f"{size}-{where}")
        looks.at("error")
        assert page.get_by_role("heading", level=1).inner_text()


LONG = (
    "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz",
    "<b>black-and-tan</b> coonhound & its 'friends'",
    "كلب صيد ذو فراء أسود وبني وأذنين طويلتين",
    "ねこ 🐈‍⬛ 猫",
)
GERMAN = Path(__file__).parents[1] / "server/studies/pages/german.json"


@pytest.mark.parametrize("language", ["de", "ar"])
def test_long_labels_in_a_small_window(chromium: Browser, tmp_path: Path, language: str) -> None:
    """At 320 pixels, with wide spacing, in both directions of writing."""
    wording = Wording.model_validate_json(GERMAN.read_bytes()).model_copy(update={"language": language})
    with served_study(tmp_path, wording=wording, labels=LONG) as study, opened(chromium, "small") as context:
        page = context.new_page()
        looks = Looks(page, f"small-{language}")

        def look(what: str) -> None:
            looks.at(what)
            page.evaluate(SPACE_OUT, SPACED)
            fits(page)
            assert page.evaluate(CUT_OFF) == []
            page.evaluate("document.adoptedStyleSheets = []")

        page.goto(study.invite())
        assert page.evaluate("getComputedStyle(document.body).direction") == ("rtl" if language == "ar" else "ltr")
        look("consent")
        page.locator("button.primary").click()
        look("instructions")
        page.locator("main a.primary").click()
        for _ in range(PRACTICE):
            look("practice")
            page.get_by_role("button", name="Ja").click()
            look("feedback")
            page.locator("[data-continue]").click()
        for number in range(1, PICTURES + 1):
            expect(page.locator(".count")).to_have_text(f"Frage {number} von {PICTURES}")
            look("question")
            page.get_by_role("button", name="Vielleicht").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Geschafft")
        look("finish")


def test_what_a_screen_reader_and_a_keyboard_meet(chromium: Browser, study: Study) -> None:
    with opened(chromium, "desk", forced_colors="active", reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(study.invite())
        practise(page)
        page.evaluate(
            """() => { window.said = [];
            new MutationObserver(() => { const text = document.getElementById("status").textContent;
              if (text) said.push(text); }).observe(document.getElementById("status"), { childList: true }); }"""
        )
        page.keyboard.press("y")
        ready(page, 2)
        assert page.evaluate("said") == [f"Question 2 of {PICTURES}"]
        assert page.evaluate("document.activeElement.id") == "question"
        assert page.evaluate("document.getAnimations().length") == 0
        met = []
        for _ in range(8):
            page.keyboard.press("Tab")
            met.append(page.evaluate("document.activeElement.innerText.split(/\\s*\\n|\\s[A-Z]$/)[0].trim()"))
            # Where the focus is can be seen, and nothing covers it.
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            assert page.evaluate(
                """() => { const box = document.activeElement.getBoundingClientRect();
                const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                return document.activeElement.contains(at) }"""
            )
        assert met[:5] == ["Yes", "No", "Maybe", "Undo last answer", "I cannot see or judge this picture"]
        assert met[5:] == ["Switch keys off", "Instructions", "Leave and delete my answers"]


def test_two_hundred_percent(chromium: Browser, study: Study) -> None:
    """A window of 1280 x 800 at 200 % is one of 640 x 400: no answer covers a picture."""
    with chromium.new_context(viewport={"width": 640, "height": 400}, device_scale_factor=2) as context:
        page = context.new_page()
        page.goto(study.invite())
        practise(page)
        looks = Looks(page, "zoomed")
        looks.at("question")
        assert page.locator(".answers").evaluate("(each) => getComputedStyle(each).position") == "static"
        page.get_by_role("button", name="I cannot see or judge this picture").click()
        ready(page, 2)
