"""`whybox-server serve` with a database and keys: models, the API of studies and their pages in one server."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from server.studies.folders import CELLS, write_folder
from server.studies.pages.browsers import Browser
from server.studies.people import answer_all, people
from servers import Server, serving
from study_pages import with_store
from whybox import Client
from whybox.v1.errors import PermissionDeniedError, UnauthenticatedError
from whybox_server.studies.store import StudyStore

STUDY, ANSWERED = "shapes", "answered"
SCOPES = ("admin", "studies:read", "studies:invite")
NEEDED = {
    "studies": "studies:read",
    "study": "studies:read",
    "study_results": "studies:read",
    "invite": "studies:invite",
}


@dataclass(frozen=True)
class Studies:
    """A server with two open studies, one of which has all of its answers.

    Attributes:
        server: The server.
        database: URL of its database.
        keys: A key of each scope.
    """

    server: Server
    database: str
    keys: dict[str, str]


def whybox_server(*arguments: object) -> str:
    command = [str(Path(sys.executable).with_name("whybox-server")), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def studies(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studies]:
    """Keys, study and server, all made by commands; afterwards nothing of them runs or listens."""
    folder = tmp_path_factory.mktemp("served")
    key_file, database = folder / "keys.json", f"sqlite:///{folder}/studies.db"
    keys = {
        scope: whybox_server("keys", "add", "--name", scope, "--scope", scope, "--file", key_file).split()[-1]
        for scope in SCOPES
    }
    for study in (STUDY, ANSWERED):
        write_folder(folder / study, study=study, pictures=2, practice=1, cells=CELLS[:2])
        assert study in whybox_server("study", "open", folder / study, "--database", database)
    with_store(database, answer)
    settings = {"WHYBOX_DATABASE": database, "WHYBOX_KEY_FILE": str(key_file)}
    with serving(archive.parent, folder / "logs", **settings) as server:
        yield Studies(server, database, keys)
        family = server.family()
    assert server.process.returncode == 0
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    for address in map(urlsplit, (server.rest, server.grpc)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
    # SQLite's journal and its memory go with the last connection.
    assert {path.name for path in folder.iterdir()} == {
        "keys.json",
        "logs",
        STUDY,
        ANSWERED,
        "studies.db",
        "studies.db.operations",
    }
    assert [path.name for path in (folder / "studies.db.operations").iterdir()] == ["server"]


async def answer(store: StudyStore) -> None:
    for person in await people(store, 10, ANSWERED):
        await answer_all(store, person)


def call(client: Client, method: str) -> object:
    return client.studies() if method == "studies" else getattr(client, method)(ANSWERED)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize("method", NEEDED)
def test_who_may_call_what(studies: Studies, transport: str, method: str) -> None:
    address = getattr(studies.server, transport)
    for scope, key in studies.keys.items():
        with Client(address, key=key) as client:
            if scope in ("admin", NEEDED[method]):
                assert call(client, method)
            else:
                with pytest.raises(PermissionDeniedError, match=f"needs one with the scope {NEEDED[method]}"):
                    call(client, method)
    for stranger, reason in ((None, "UNAUTHENTICATED"), ("whybox_unknown", "UNKNOWN_KEY")):
        with Client(address, key=stranger) as client, pytest.raises(UnauthenticatedError) as caught:
            call(client, method)
        assert caught.value.reason == reason


@pytest.mark.parametrize("transport", ["grpc", "rest"])
async def test_an_invitation_leads_to_the_pages(studies: Studies, transport: str) -> None:
    with Client(getattr(studies.server, transport), key=studies.keys["admin"]) as client:
        [link] = client.invite(STUDY).links
        assert link.startswith(f"{studies.server.rest}/studies/{STUDY}?invitation=")
        before = client.study(STUDY)
        async with Browser(None, studies.server.rest) as browser:
            await browser.open(link)
            assert browser.page.heading == "Before you take part"
            await browser.press("I agree and take part")
            await browser.follow("Start practising")
            await browser.press("Yes")
            await browser.follow("Start with the first picture")
            assert "Question 1 of 2" in browser.page.text
            for picture in browser.page.pictures:
                shown = await browser.client.get(picture["src"])
                assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
            await browser.press("Yes")
            assert "Question 2 of 2" in browser.page.text
            after = client.study(STUDY)
            assert after.answers == before.answers + 1
            assert after.annotators["active"] == before.annotators["active"] + 1
            await browser.follow("Leave and delete my answers")
            await browser.press("Delete all my answers")
        assert client.study(STUDY).answers == before.answers
    async with Browser(None, studies.server.rest) as stranger:
        await stranger.open(f"{link[:-2]}xx")
        assert (stranger.response.status_code, stranger.page.heading) == (403, "This invitation is not valid")


def test_results_and_models_come_from_the_same_server(studies: Studies, dalmatian: bytes) -> None:
    told = []
    for address in (studies.server.grpc, studies.server.rest):
        with Client(address, key=studies.keys["admin"], timeout=120) as client:
            assert client.study(ANSWERED).full
            told.append(client.study_results(ANSWERED))
            assert client.predict(dalmatian).classes
    assert told[0] == told[1]
    assert told[0].study == ANSWERED
