"""Many people who answer a study at once in browsers without scripts, and a server that may be killed under them."""

import asyncio
import hashlib
import random
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import httpx

from crowd import PAUSE, TWICE, UNDO, UNJUDGED, Log
from presence import present
from server.studies.pages.browsers import Button, Page
from studying import picture
from whybox_server.studies.protocol import Answer, Cell, File, Item, Picture, Protocol

_RETRY_SECONDS, _REQUEST_SECONDS = 0.2, 60.0
_START_SECONDS = 60


def written(folder: Path, name: str, cells: Sequence[Cell]) -> Picture:
    """A picture whose files differ in each cell, so that a page tells which item it shows."""

    def file(what: str) -> File:
        content = f"{name} {what}".encode() * 200
        digest = hashlib.sha256(content).hexdigest()
        path = folder / "pictures" / f"{digest[:32]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return File(path=f"pictures/{path.name}", sha256=digest, width=8, height=8)

    drawn = picture(name, cells)
    items = [item.model_copy(update={"picture": file(item.cells[0])}) for item in drawn.items]
    return drawn.model_copy(update={"items": tuple(items)})


class Server:
    """`whybox-server study serve` on a port of its own.

    Args:
        database: Its URL.
        log: File of what it says.
    """

    def __init__(self, database: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._database, self._log = database, log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Returns once people can come."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("whybox-server"),
                *("study", "serve", "--port", str(self._port), "--database", self._database),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        line = await asyncio.wait_for(present(self._process.stdout).readline(), _START_SECONDS)
        if not line.startswith(b"studies on"):
            raise RuntimeError(f"the server does not start: {self._log.read_text()}")

    async def kill(self) -> None:
        """By SIGKILL; a server that has ended stays as it is."""
        process = present(self._process)
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Measured:
    """What people waited for, in seconds.

    Attributes:
        answers: From an answer to the next question.
        failures: Requests that met no server, and were sent again.
        problems: Answers of the server that a person should not see.
    """

    answers: list[float] = field(default_factory=list)
    failures: int = 0
    problems: list[str] = field(default_factory=list)


def items_by_files(study: Protocol) -> Mapping[frozenset[str], Item]:
    """The item that shows these files, by their digests."""
    found = {}
    for item in (item for each in study.pictures for item in each.items):
        files = [
            item.picture,
            *([item.explanation] if item.explanation else []),
            *(each.file for each in item.examples),
        ]
        found[frozenset(file.sha256 for file in files)] = item
    return found


class Person:
    """Answers in a browser without scripts.

    Args:
        name: Of the annotator, as logs have it.
        invitation: Address that lets in.
        items: See `items_by_files`.
        log: Of what the person was told.
        measured: Of all people.
        think: Mean time from a question to its answer, in seconds.
    """

    def __init__(
        self,
        name: str,
        invitation: str,
        items: Mapping[frozenset[str], Item],
        log: Log,
        measured: Measured,
        think: float,
    ) -> None:
        self._name, self._invitation, self._items = name, invitation, items
        self._log, self._measured, self._think = log, measured, think
        self._client = httpx.AsyncClient(timeout=_REQUEST_SECONDS, verify=False, follow_redirects=True)  # noqa: S501
        self._rng = random.Random(name)
        self._cached: set[str] = set()

    async def take_part(self, until: float) -> None:
        """Comes in, and answers until nothing is left or the monotonic clock shows `until`."""
        async with self._client:
            page = await self._get(self._invitation)
            page = await self._press(page, "I agree and take part")
            page = await self._get(urljoin(str(self._address), "question"))
            while time.monotonic() < until and not self._address.endswith("/finish"):
                page = await self._step(page)

    async def _step(self, page: Page) -> Page:
        """From one page to the next."""
        if not (form := page.forms.get("answer")):
            await asyncio.sleep(self._think)
            return await self._get(self._address)
        digests = frozenset([await self._look(shown["src"]) for shown in page.pictures])
        name = form.fields["picture"]
        self._log("shown", self._name, name, self._items[digests].cells)
        await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self._think)
        if self._rng.random() < PAUSE:
            await self._press(page, "Pause")
            return await self._get(urljoin(self._address, "question"))
        answer = Answer.CANNOT_JUDGE if self._rng.random() < UNJUDGED else self._rng.choice((Answer.YES, Answer.NO))
        began = time.monotonic()
        button = next(button for button in page.buttons if button.value == answer)
        times = 2 if self._rng.random() < TWICE else 1
        following, *_ = await asyncio.gather(*(self._send(button) for _ in range(times)))
        # Redirected without a notice: the answer is stored.
        if "notice=" in self._address:
            return following
        self._log("answered", self._name, name, answer)
        self._measured.answers.append(time.monotonic() - began)
        if self._rng.random() < UNDO and any(each.text == "Undo last answer" for each in following.buttons):
            self._log("undoing", self._name, name)
            back = await self._press(following, "Undo last answer")
            if "notice=" in self._address:
                # Another person was asked in the meantime: the answer stands.
                self._log("answered", self._name, name, answer)
            else:
                self._log("undone", self._name, name)
            return back
        return following

    async def _look(self, address: str) -> str:
        """Loads a picture once, as browsers do; returns its digest."""
        if address not in self._cached:
            response = await self._request("GET", urljoin(self._address, address), {})
            assert response.headers["content-type"] == "image/png"
            self._cached.add(address)
        return address.rpartition("/")[2]

    async def _press(self, page: Page, text: str) -> Page:
        return await self._send(next(button for button in page.buttons if button.text == text))

    async def _send(self, button: Button) -> Page:
        fields = button.form.fields | ({button.name: button.value} if button.name else {})
        return self._shown(await self._request("POST", urljoin(self._address, button.form.action), fields))

    async def _get(self, address: str) -> Page:
        return self._shown(await self._request("GET", address, {}))

    def _shown(self, response: httpx.Response) -> Page:
        self._address = str(response.url)
        return Page(response.text)

    async def _request(self, method: str, address: str, fields: dict[str, str]) -> httpx.Response:
        """Sent again until a server answers, as a person loads a page again."""
        while True:
            try:
                response = await self._client.request(method, address, data=fields or None)
            except httpx.TransportError:
                self._measured.failures += 1
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if response.is_success:
                return response
            self._measured.problems.append(f"{method} {address}: {response.status_code}")
            await asyncio.sleep(_RETRY_SECONDS)
