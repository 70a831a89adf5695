"""The whole walk in a browser without scripts, on both databases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from server.studies.folders import CELLS, write_folder
from server.studies.pages.browsers import HOST, Browser, Page
from server.studies.pages.studies import Opened
from studying import UtcClock
from whybox_server.studies.protocol import Answer, Cell, Policy, Wording
from whybox_server.studies.protocol.wording import Keys
from whybox_server.studies.state import Question
from whybox_server.studies.store import StudyStore


@pytest.fixture
def store(engine: AsyncEngine, clock: UtcClock) -> StudyStore:
    return StudyStore(engine, clock)


@asynccontextmanager
async def another(app: Starlette) -> AsyncIterator[Browser]:
    async with Browser(app) as browser:
        yield browser


def progress(page: Page) -> str:
    return next(given["value"] for tag, given in page.tags if tag == "progress")


def picture(browser: Browser) -> str:
    return next(form.fields["picture"] for form in browser.page.forms.values() if "picture" in form.fields)


async def test_from_the_invitation_to_the_code(browser: Browser, study: Opened) -> None:
    await browser.open(await study.invite())
    assert browser.path == "/studies/shapes/consent"
    assert "invitation" not in str(browser.response.url)
    assert "for research only" in browser.page.text
    await browser.press("I agree and take part")
    assert browser.path == "/studies/shapes/instructions"
    assert "at most 6." in browser.page.text
    await browser.follow("Start practising")
    assert "Practice 1 of 2" in browser.page.text
    await browser.press("Yes")
    assert browser.page.heading == "✓ That is the expected answer"
    assert "the number of corners" in browser.page.text
    await browser.follow("Go on practising")
    await browser.press("Yes")
    assert browser.page.heading == "✗ Another answer is expected"
    await browser.follow("Start with the first picture")
    seen = []
    for position in range(1, 7):
        assert f"Question {position} of 6" in browser.page.text
        assert progress(browser.page) == str(position - 1)
        seen.append(picture(browser))
        await browser.press("No" if position == 3 else "Yes")
    assert browser.path == "/studies/shapes/finish"
    assert browser.page.heading == "All done"
    assert await study.answers() == [(name, "no" if index == 2 else "yes") for index, name in enumerate(seen)]
    assert len(set(seen)) == 6
    # An invitation returns nobody to a platform.
    assert "Return to the platform" not in browser.page.links


async def test_each_arm_shows_what_it_should(asked: Browser, study: Opened) -> None:
    shown = {}
    for _ in range(6):
        item = await study.store.question((await study.store.votes("shapes")).practice[0].annotator_id)
        assert isinstance(item, Question)
        shown[item.item.cells[0].partition("/")[0]] = [given["alt"] for given in asked.page.pictures]
        assert "collection" in asked.page.text or item.item.examples == ()
        assert all(item.item.label.text not in given["alt"] for given in asked.page.pictures)
        # The labels of examples are hidden.
        labels = {example.label.text for example in item.item.examples} - {item.item.label.text}
        assert not any(label in asked.page.text for label in labels)
        await asked.press("Yes")
    asks = "The picture that the question is about"
    assert shown == {
        "none": [asks],
        "feature": [asks, "Map over the same picture"],
        "example": [asks, *(f"Similar picture {number} of 6" for number in range(1, 7))],
    }


async def test_labels_of_examples_are_shown_if_the_protocol_says_so(
    store: StudyStore, tmp_path: Path, browser: Browser
) -> None:
    cells = (Cell(arm="example", version="clean"),)
    policy = Policy(show_example_labels=True)
    protocol = write_folder(tmp_path / "s", practice=0, cells=cells, policy=policy)
    await browser.open(await Opened(store, await store.open(protocol, tmp_path / "s")).invite())
    await browser.press("I agree and take part")
    await browser.follow("Start")
    assert all(label in browser.page.text for label in ("triangle", "square", "pentagon", "hexagon"))


async def test_maybe(store: StudyStore, tmp_path: Path, browser: Browser) -> None:
    policy = Policy(answers=(Answer.YES, Answer.NO, Answer.MAYBE))
    protocol = write_folder(tmp_path / "s", practice=0, policy=policy, wording=Wording(keys=Keys(maybe="7")))
    study = Opened(store, await store.open(protocol, tmp_path / "s"))
    await browser.open(await study.invite())
    await browser.press("I agree and take part")
    await browser.follow("Start")
    keys = [given["data-key"] for tag, given in browser.page.tags if "data-key" in given]
    assert keys == ["y", "n", "7"]
    await browser.press("Maybe")
    assert [answer for _, answer in await study.answers()] == ["maybe"]


async def test_the_script_is_answered_by_the_next_question_itself(asked: Browser, study: Opened) -> None:
    form, sent = asked.page.forms["answer"], asked.page.forms["answer"].fields | {"answer": "yes"}
    prefers = {"origin": HOST, "prefer": "return=representation"}
    # A second time it is the same question, and the answer counts once.
    for _ in range(2):
        await asked.send(form.action, sent, **prefers)
        assert asked.response.history == []
        assert asked.response.headers["content-location"] == "/studies/shapes/question"
        assert asked.response.headers["preference-applied"] == "return=representation"
        assert "Question 2 of 6" in asked.page.text
    assert await study.answers() == [(sent["picture"], "yes")]
    undo = asked.page.forms["/studies/shapes/undo"]
    await asked.send(undo.action, undo.fields, **prefers)
    assert "Question 1 of 6" in asked.page.text
    for _ in range(6):
        form = asked.page.forms["answer"]
        await asked.send(form.action, form.fields | {"answer": "no"}, **prefers)
    assert asked.path == "/studies/shapes/finish"


async def test_what_cannot_be_judged(asked: Browser, study: Opened) -> None:
    await asked.press("I cannot see or judge this picture")
    assert [answer for _, answer in await study.answers()] == ["cannot_judge"]
    assert "Question 2 of 6" in asked.page.text


async def test_a_page_loaded_again_asks_the_same(asked: Browser, study: Opened) -> None:
    before = picture(asked)
    await asked.open(asked.path)
    assert picture(asked) == before
    assert await study.answers() == []


async def test_a_form_that_is_sent_twice_counts_once(asked: Browser, study: Opened) -> None:
    form = asked.page.forms["answer"]
    sent = form.fields | {"answer": "yes"}
    for _ in range(3):
        await asked.send(form.action, sent, origin=HOST)
        assert "Question 2 of 6" in asked.page.text
    assert await study.answers() == [(sent["picture"], "yes")]


async def test_an_answer_from_a_page_that_was_kept_open(asked: Browser, study: Opened) -> None:
    form = asked.page.forms["answer"]
    await asked.press("Yes")
    await asked.send(form.action, form.fields | {"answer": "no", "key": "another"}, origin=HOST)
    assert "has its answer already" in asked.page.text
    assert [answer for _, answer in await study.answers()] == ["yes"]


async def test_undo(asked: Browser, study: Opened) -> None:
    assert "Undo last answer" not in [button.text for button in asked.page.buttons]
    first = picture(asked)
    await asked.press("Yes")
    second = picture(asked)
    undo = asked.page.forms["/studies/shapes/undo"]
    await asked.press("Undo last answer")
    assert picture(asked) == first
    assert await study.answers() == []
    # The same form a second time takes nothing back.
    await asked.press("No")
    assert picture(asked) == second
    assert undo.fields["picture"] == second
    await asked.press("Undo last answer")
    await asked.send(undo.action, undo.fields, origin=HOST)
    assert picture(asked) == first
    await asked.press("Yes")
    await asked.press("Yes")
    assert await study.answers() == [(first, "yes"), (second, "yes")]


async def test_only_the_last_answer_can_be_undone(asked: Browser, study: Opened) -> None:
    await asked.press("Yes")
    await asked.press("Yes")
    await asked.press("Undo last answer")
    await asked.press("Undo last answer")
    assert "only the last one can" in asked.page.text
    assert len(await study.answers()) == 1


async def test_the_very_last_answer_can_be_undone(asked: Browser, study: Opened) -> None:
    for _ in range(6):
        await asked.press("Yes")
    await asked.press("Undo last answer")
    assert "Question 6 of 6" in asked.page.text
    await asked.press("No")
    assert asked.page.heading == "All done"
    assert [answer for _, answer in await study.answers()] == ["yes"] * 5 + ["no"]


async def test_pause_and_go_on_elsewhere(asked: Browser, study: Opened, app: Starlette) -> None:
    await asked.press("Yes")
    await asked.press("Pause")
    assert asked.page.heading == "Paused"
    [link] = [given["value"] for tag, given in asked.page.tags if given.get("id") == "link"]
    assert link.startswith(f"{HOST}/studies/shapes/?invitation=")
    async with another(app) as elsewhere:
        await elsewhere.open(link)
        assert "Question 2 of 6" in elsewhere.page.text
        await elsewhere.press("No")
        assert [answer for _, answer in await study.answers()] == ["yes", "no"]


async def test_withdrawal(asked: Browser, study: Opened) -> None:
    await asked.press("Yes")
    await asked.follow("Leave and delete my answers")
    assert len(await study.answers()) == 1
    await asked.follow("Keep them and go back")
    assert "Question 2 of 6" in asked.page.text
    await asked.follow("Leave and delete my answers")
    await asked.press("Delete all my answers")
    assert asked.page.heading == "Your answers are deleted"
    assert await study.answers() == []
    assert list(asked.client.cookies.jar) == []
    await asked.open("/studies/shapes/question")
    assert asked.response.status_code == 403


async def test_no_consent(invited: Browser, study: Opened) -> None:
    await invited.follow("I do not take part")
    assert invited.page.heading == "You do not take part"
    for page in ("question", "instructions", ""):
        await invited.open(f"/studies/shapes/{page}")
        assert invited.path == "/studies/shapes/consent"
    assert (await study.store.status("shapes")).annotators["invited"] == 1


async def test_consent_is_asked_once(asked: Browser) -> None:
    await asked.open("/studies/shapes/consent")
    assert asked.path == "/studies/shapes/question"


async def test_a_platform_sends_people(browser: Browser, study: Opened, app: Starlette) -> None:
    address = f"{study.base}/?PROLIFIC_PID=5f1&STUDY_ID=1&return=https://evil.test"
    await browser.open(address)
    assert browser.path == "/studies/shapes/consent"
    assert browser.response.url.query == b""
    await browser.press("I agree and take part")
    await browser.follow("Start practising")
    await browser.press("Yes")
    await browser.follow("Go on practising")
    await browser.press("Yes")
    await browser.follow("Start with the first picture")
    for _ in range(6):
        await browser.press("Yes")
    [code] = browser.page.text.split("completion code ")[1].split()[:1]
    assert browser.page.links["Return to the platform"] == f"https://platform.test/done?cc={code}"
    async with another(app) as elsewhere:
        # The same id is the same person.
        await elsewhere.open(address)
        assert elsewhere.page.heading == "All done"
        await elsewhere.open("/studies/shapes/?PROLIFIC_PID=5f2")
        assert elsewhere.path == "/studies/shapes/consent"
    # The id itself is nowhere.
    assert "5f1" not in browser.page.html


@pytest.mark.parametrize("query", ["PROLIFIC_PID=", f"PROLIFIC_PID={'x' * 201}", "PROLIFIC_PID=%00", "invitation="])
async def test_ids_and_tokens_that_are_none(browser: Browser, study: Opened, query: str) -> None:
    await browser.open(f"{study.base}/?{query}")
    assert browser.response.status_code == 403
    assert browser.page.heading == "This invitation is not valid"


async def test_a_late_answer(asked: Browser, study: Opened, clock: UtcClock) -> None:
    """The time has passed, but no one else has answered."""
    clock.turn(hours=1)
    await asked.press("Yes")
    assert len(await study.answers()) == 1


async def test_who_finds_all_taken_waits(app: Starlette, store: StudyStore, tmp_path: Path) -> None:
    """The page loads itself again without scripts, and asks as soon as a picture comes back."""
    policy = Policy(pictures_per_annotator=1)
    protocol = write_folder(tmp_path / "one", study="one", pictures=1, practice=0, cells=CELLS[:1], policy=policy)
    study = Opened(store, await store.open(protocol, tmp_path / "one"))
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(Browser(app)) for _ in range(6)]
        for browser in browsers:
            await browser.open(await study.invite())
            await browser.press("I agree and take part")
            await browser.open(f"{study.base}/question")
        *early, judges, waits = browsers
        assert waits.page.heading == "Others are answering about the last pictures"
        assert waits.response.headers["refresh"] == "15"
        for browser in early:
            await browser.press("Yes")
            assert browser.page.heading == "All done"
        # Whoever asks for the end waits as well.
        await waits.open(f"{study.base}/finish")
        assert waits.path == f"{study.base}/question"
        await judges.press("I cannot see or judge this picture")
        await waits.follow("Look again now")
        assert "refresh" not in waits.response.headers
        # The place is another person's now.
        await judges.press("Undo last answer")
        assert "cannot be taken back any more" in judges.page.text
        await waits.press("No")
        assert waits.page.heading == "All done"
    assert sorted(answer for _, answer in await study.answers()) == ["cannot_judge", "no", *["yes"] * 4]


async def test_a_study_that_is_opened_again_in_another_folder(asked: Browser, study: Opened, tmp_path: Path) -> None:
    """The pictures come from there at once."""
    moved = tmp_path / "moved"
    study.study.folder.rename(moved)
    await study.store.open(study.study.protocol, moved)
    shown = await asked.client.get(asked.page.pictures[0]["src"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")


async def test_a_closed_study(asked: Browser, study: Opened, app: Starlette) -> None:
    await asked.press("Yes")
    await study.store.close("shapes", "enough")
    await asked.press("Yes")
    assert asked.page.heading == "The study is closed"
    assert "completion code" in asked.page.text
    assert len(await study.answers()) == 1
    async with another(app) as late:
        await late.open("/studies/shapes/?PROLIFIC_PID=new")
        assert late.response.status_code == 410
    # Withdrawal stays possible.
    await asked.follow("Delete my answers")
    await asked.press("Delete all my answers")
    assert await study.answers() == []


async def test_a_study_that_closes_before_consent(invited: Browser, study: Opened) -> None:
    await study.store.close("shapes", "enough")
    await invited.press("I agree and take part")
    assert invited.response.status_code == 410
    assert invited.page.heading == "The study is closed"


@pytest.mark.parametrize("kind", ["pilot", "preview"])
async def test_trials_say_that_they_are(store: StudyStore, tmp_path: Path, browser: Browser, kind: str) -> None:
    protocol = write_folder(tmp_path / "s")
    study = Opened(store, await store.open(protocol, tmp_path / "s", kind=kind))  # type: ignore[arg-type]
    await browser.open(await study.invite())
    assert browser.path == f"/studies/shapes-{kind}/consent"
    assert f"This is a {kind}: no answer counts." in browser.page.text


@pytest.mark.parametrize(("milliseconds", "stored"), [("", None), ("0", 0), ("812", 812), ("2147483647", 2147483647)])
async def test_how_long_an_answer_took(asked: Browser, study: Opened, milliseconds: str, stored: int | None) -> None:
    await asked.press("Yes", milliseconds=milliseconds)
    [vote] = (await study.store.votes("shapes")).items
    assert vote.milliseconds == stored
