"""The pages of a study in a real browser, at the width of a phone and of a desk: keys, undo, a second device, axe."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from browsing import SHOTS, Looks, fits, opened
from server.studies.folders import CELLS
from study_pages import PICTURES, PRACTICE, Study, practise, ready, served_study
from whybox_server.studies.protocol import Wording


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """A fresh study, served by `whybox-server study serve`."""
    with served_study(tmp_path) as study:
        yield study


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
        heights = set()
        for number, key in enumerate("yynmyn", start=1):
            ready(page, number)
            heights.add(page.locator(".answers").evaluate("(each) => each.offsetHeight"))
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
        assert len(heights) == 1, "answers move as undo comes"
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


def test_while_others_hold_all_that_is_left(chromium: Browser, tmp_path: Path, size: str, scheme: str) -> None:
    with (
        served_study(tmp_path, pictures=1, practice=0, cells=CELLS[:1]) as study,
        opened(chromium, size, scheme) as context,
    ):
        others = study.hold(5)
        page = context.new_page()
        looks = Looks(page, f"{size}-{scheme}-waiting")
        page.goto(study.invite())
        page.get_by_role("button", name="I agree and take part").click()
        page.get_by_role("link", name="Start").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Others are answering about the last pictures")
        looks.at("waiting")
        # Nothing was answered yet.
        page.get_by_role("button", name="Undo last answer").click()
        expect(page.locator(".notice")).to_be_visible()
        looks.at("nothing-to-undo")
        study.give_back(others[0])
        page.get_by_role("link", name="Look again now").click()
        ready(page, 1, total=1)
        page.keyboard.press("y")
        expect(page.get_by_role("heading", level=1)).to_have_text("All done")
    assert len(study.votes().items) == 1


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
