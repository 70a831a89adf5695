"""A study behind `whybox-server study serve`, and the first steps of a person who takes part."""

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

from playwright.sync_api import Page, expect

from presence import present
from server.studies.folders import write_folder
from server.studies.people import people
from whybox_server.database.engine import create_engine
from whybox_server.database.upgrade import upgrade
from whybox_server.studies.protocol import Answer, Platform, Policy
from whybox_server.studies.state import Question, RawVotes
from whybox_server.studies.store import StudyStore

PICTURES, PRACTICE = 6, 2


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

    def hold(self, number: int) -> list[str]:
        """People come, are asked, and do not answer yet; returns their names."""

        async def hold(store: StudyStore) -> list[str]:
            names = [annotator.id for annotator in await people(store, number, "shapes")]
            for name in names:
                assert isinstance(await store.question(name), Question)
            return names

        held: list[str] = self._ask(hold)
        return held

    def give_back(self, name: str) -> None:
        """One of them pauses."""
        self._ask(lambda store: store.pause(name))

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


@contextmanager
def served_study(tmp_path: Path, **fields: Any) -> Iterator[Study]:
    """Serves a study; `fields` are those of `write_folder`, in place of the usual ones."""
    photos = (
        sorted((Path(os.environ["WHYBOX_DATA"]) / "cc-by").glob("*.jpg"))[:40] if "WHYBOX_DATA" in os.environ else []
    )
    usual: dict[str, Any] = {
        "pictures": PICTURES,
        "practice": PRACTICE,
        "photos": photos,
        "policy": Policy(answers=(Answer.YES, Answer.NO, Answer.MAYBE)),
        "platform": Platform(parameter="PROLIFIC_PID", return_address="https://platform.test/?cc={code}"),
    }
    protocol = write_folder(tmp_path / "shapes", **(usual | fields))
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


def ready(page: Page, number: int, *, practice: bool = False, total: int = PICTURES) -> None:
    """Waits until a question is displayed, from when on keys are taken."""
    kind, total = ("Practice", PRACTICE) if practice else ("Question", total)
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
