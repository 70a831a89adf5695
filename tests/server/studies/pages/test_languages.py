"""A study in another language is wholly in that language."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from server.studies.folders import write_folder
from server.studies.pages.browsers import HOST, Browser
from server.studies.pages.studies import Opened
from whybox_server.database.errors import DatabaseError
from whybox_server.studies.protocol import Answer, Platform, Policy, Wording
from whybox_server.studies.store import StudyStore

GERMAN = Wording.model_validate_json((Path(__file__).parent / "german.json").read_bytes())
# Attributes that people read or hear.
READ = ("alt", "aria-label", "title", "placeholder", "content")
LABELS = ("Dreieck", "Viereck", "Fünfeck", "Sechseck", "Siebeneck", "Achteck")

WHY = "Man zählt die Ecken."


def words(value: object) -> set[str]:
    if isinstance(value, Mapping):
        return set().union(*map(words, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(words, value))
    return set(re.findall(r"[^\W\d_]+", str(value)))


KNOWN = words(GERMAN.model_dump()) | words(LABELS) | words(WHY)


class Reader:
    """Reads every page that a browser shows, and finds the words that are not of the study."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.pages: set[str] = set()

    def read(self, *, unless: str = "") -> None:
        page = self.browser.page
        heard = [given[name] for tag, given in page.tags for name in READ if name in given and tag != "meta"]
        heard += [value for _, given in page.tags for name, value in given.items() if is_said(name)]
        text = " ".join([page.text, *heard]).replace(unless, "")
        keys = {key.upper() for key in GERMAN.keys.model_dump().values()}
        assert words(text) - KNOWN - keys == set(), self.browser.path
        assert [given for tag, given in page.tags if tag == "html"] == [{"lang": "de", "dir": "ltr"}]
        self.pages.add(page.heading)


def is_said(attribute: str) -> bool:
    return attribute.removeprefix("data-").replace("-", "_") in type(GERMAN.pages.script).model_fields


async def german(store: StudyStore, folder: Path) -> Opened:
    policy = Policy(answers=(Answer.YES, Answer.NO, Answer.MAYBE), pictures_per_annotator=6, show_example_labels=True)
    platform = Platform(parameter="id", return_address="https://platform.test/")
    protocol = write_folder(
        folder,
        policy=policy,
        wording=GERMAN,
        labels=LABELS,
        platform=platform,
        why=WHY,
    )
    return Opened(store, await store.open(protocol, folder))


async def test_no_english_word_is_on_any_page(
    browser: Browser, store: StudyStore, tmp_path: Path, app: Starlette
) -> None:
    study, reader, own = await german(store, tmp_path / "s"), Reader(browser), GERMAN.pages

    async def at(path: str) -> None:
        await browser.open(f"{study.base}/{path}")
        reader.read()

    for path in ("nothing", "question", "left", "?invitation=x"):
        await at(path)
    await browser.open(f"{study.base}/?id=1")
    reader.read()
    await browser.follow(own.consent.decline)
    reader.read()
    await browser.follow(own.declined.again)
    await browser.press(own.consent.agree)
    reader.read()
    await browser.follow(own.instructions.practise)
    for given in (GERMAN.yes, GERMAN.yes):
        reader.read()
        await browser.press(given)
        reader.read()
        await browser.follow(own.practised.more if own.practised.more in browser.page.links else own.practised.start)
    for number in range(1, 7):
        assert f"Frage {number} von 6" in browser.page.text
        reader.read()
        for notice in ("late", "answered", "nothing"):
            await at(f"question?notice={notice}")
        await browser.press(GERMAN.maybe if number < 6 else GERMAN.cannot_judge)
    code = browser.page.text.partition(own.finished.code)[2].split()[0]
    reader.read(unless=code)
    await browser.press(own.finished.undo)
    await browser.press(own.asking.pause)
    [link] = [given["value"] for _, given in browser.page.tags if given.get("id") == "link"]
    assert link.startswith(HOST)
    reader.read()
    await browser.send(f"{study.base}/pause", {"csrf": "x"})
    reader.read()
    await browser.send(f"{study.base}/answer", {})
    reader.read()
    await browser.open(f"{study.base}/answer")
    reader.read()
    await browser.open(f"{study.base}/withdraw")
    reader.read()
    async with Browser(app) as late:
        await late.open(await study.invite())
        await store.close(study.study.id, "enough")
        await late.press(own.consent.agree)
        Reader(late).read()
        reader.pages.add(late.page.heading)
    await browser.open(f"{study.base}/finish")
    reader.read(unless=code)
    await browser.open(f"{study.base}/withdraw")
    await browser.press(own.withdrawal.delete)
    reader.read()
    problems = own.problems
    assert {problems.no_page, problems.invitation, problems.no_session, problems.foreign_form, problems.closed} <= {
        problem for problem in vars(problems).values() if problem.heading in reader.pages
    }
    headings = {
        own.consent.heading,
        own.declined.heading,
        own.instructions.heading,
        f"✓ {own.practised.right}",
        f"✗ {own.practised.wrong}",
        own.finished.heading,
        own.finished.closed,
        own.paused.heading,
        own.withdrawal.heading,
        own.withdrawal.left,
    }
    assert headings <= reader.pages


async def test_faults_are_told_in_the_language_too(
    browser: Browser, store: StudyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await german(store, tmp_path / "s")
    await browser.open(f"{study.base}/?id=1")
    for error, heading in (
        (DatabaseError("locked"), GERMAN.pages.problems.busy.heading),
        (RuntimeError("a secret path"), GERMAN.pages.problems.unexpected.heading),
    ):

        async def fail(*_: object, raised: Exception = error) -> None:
            raise raised

        monkeypatch.setattr(store, "annotator", fail)
        await browser.open(f"{study.base}/consent")
        assert browser.page.heading == heading
        assert str(error) not in browser.page.html
        Reader(browser).read()


async def test_where_no_study_is_the_page_is_english(browser: Browser, study: Opened) -> None:
    assert study.base != "/studies/none"
    await browser.open("/studies/none/")
    assert browser.page.heading == "There is no such page"


@pytest.mark.parametrize(
    ("language", "direction"),
    [
        ("en", "ltr"), ("de-AT", "ltr"), ("ar", "rtl"), ("he-IL", "rtl"), ("FA", "rtl"), ("ur-Latn", "ltr"),
        ("az-Arab-IR", "rtl"), ("uz", "ltr"), ("zh-Hant", "ltr"),
    ],
)  # fmt: skip
async def test_directions(store: StudyStore, tmp_path: Path, browser: Browser, language: str, direction: str) -> None:
    protocol = write_folder(tmp_path / "s", wording=Wording(language=language))
    await browser.open(await Opened(store, await store.open(protocol, tmp_path / "s")).invite())
    assert [given for tag, given in browser.page.tags if tag == "html"] == [{"lang": language, "dir": direction}]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"question": "Is it?"}, "question"),
        ({"pages": {"asking": {"question": "{position}"}}}, "must hold {position} and {total}"),
        ({"pages": {"asking": {"question": "{position} {total} {more}"}}}, "no other braces"),
        ({"pages": {"asking": {"pause": ""}}}, "should match pattern"),
        ({"pages": {"asking": {"paus": "x"}}}, "Extra inputs"),
        ({"keys": {"yes": "N"}}, "choose different ones"),
        ({"keys": {"yes": "ja"}}, "at most 1 character"),
    ],
)
def test_wordings_that_are_none(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Wording.model_validate(changed)


def test_what_a_translation_lacks() -> None:
    assert GERMAN.missing() == []
    lacking = GERMAN.model_dump()
    del lacking["pages"]["asking"]["pause"], lacking["keys"]
    assert Wording.model_validate(lacking).missing() == ["keys", "pages.asking.pause"]
