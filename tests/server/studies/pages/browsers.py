"""A browser without scripts: it follows links, fills forms as they stand in the page, and keeps cookies."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self

import httpx
from starlette.types import ASGIApp

HOST = "http://study.test"


@dataclass
class Form:
    """A form of a page.

    Attributes:
        action: Where it goes.
        fields: Its hidden fields.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Button:
    """A button that sends a form.

    Attributes:
        form: What it sends.
        name: Its field; "" for none.
        value: The value of that.
        text: What people read.
    """

    form: Form
    name: str
    value: str
    text: str = ""


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.forms: dict[str, Form] = {}
        self.buttons: list[Button] = []
        self.links: dict[str, str] = {}
        self.pictures: list[dict[str, str]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.heading = self.text = ""
        self._form: Form | None = None
        self._open: list[str] = []
        self._link = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        self._open.append(tag)
        match tag:
            case "form":
                assert given["method"] == "post"
                self._form = self.forms[given.get("id", given["action"])] = Form(given["action"])
            case "input" if given.get("type") == "hidden":
                assert self._form is not None
                self._form.fields[given["name"]] = given["value"]
            case "button" if given.get("type") != "button":
                form = self.forms[given["form"]] if "form" in given else self._form
                assert form is not None
                self.buttons.append(Button(form, given.get("name", ""), given.get("value", "")))
            case "button":
                self._open[-1] = "other button"
            case "a":
                self._link = given["href"]
            case "img":
                self.pictures.append(given)
        if tag in ("img", "input", "link", "meta"):
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().removeprefix("other ") == tag
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if not words:
            return
        self.text += f"{words} "
        if "h1" in self._open:
            self.heading += data
        if "a" in self._open:
            self.links[words] = self._link
        if "button" in self._open and "kbd" not in self._open:
            self.buttons[-1].text += words


class Browser:
    """See the module; `page` is what it shows, `response` what came last.

    Args:
        app: What serves the pages; None for a server that listens at `host`.
        host: "http://host:port".
    """

    def __init__(self, app: ASGIApp | None, host: str = HOST) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False) if app else None
        self._host = host
        self.client = httpx.AsyncClient(transport=transport, base_url=host, follow_redirects=True)
        self.response: httpx.Response
        self.page: Page

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def open(self, address: str) -> Page:
        return self._show(await self.client.get(address))

    async def follow(self, text: str) -> Page:
        return await self.open(self.page.links[text])

    async def press(self, text: str, **changed: str) -> Page:
        """Presses the button; `changed` are fields that someone tampered with."""
        [button] = [button for button in self.page.buttons if button.text == text]
        fields = button.form.fields | ({button.name: button.value} if button.name else {}) | changed
        # A browser says from which page a form comes.
        return await self.send(button.form.action, fields, origin=self._host)

    async def send(self, address: str, fields: dict[str, str], **headers: str) -> Page:
        return self._show(await self.client.post(address, data=fields, headers=headers))

    def _show(self, response: httpx.Response) -> Page:
        self.response = response
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        self.page = Page(response.text)
        return self.page

    @property
    def path(self) -> str:
        return self.response.url.path
