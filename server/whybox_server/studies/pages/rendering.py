"""How pages and their files leave the server, and what browsers may do with them."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from whybox_server.studies.protocol import Wording

# Nothing but this server's own files: no script or style inside of a page, no other site, no frame around it.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        # Nothing goes to other sites. "no-referrer" would also take the origin from the forms of these pages, by which
        # a form of another site is told from them.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
"""Of every answer; files override the last."""

FOREVER = "private, max-age=31536000, immutable"
"""Cache-Control of files whose address names their digest."""

_STATIC = {"study.css": "text/css", "study.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Static:
    """Styles, script and icon, under addresses that change with them."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self._names: dict[str, str] = {}
        for name, media_type in _STATIC.items():
            content = (Path(__file__).parent / "static" / name).read_bytes()
            stem, _, suffix = name.partition(".")
            self._names[name] = f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
            self._files[self._names[name]] = (content, media_type)

    def path(self, name: str) -> str:
        """The path below the application."""
        return f"/_static/{self._names[name]}"

    async def serve(self, request: Request) -> Response:
        """One of the files."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        content, media_type = found
        return Response(content, media_type=media_type, headers={**HEADERS, "Cache-Control": FOREVER})


class Renderer:
    """Fills templates. Every text is escaped, so that a label or a name of a file is never taken for HTML.

    Args:
        static: Whose addresses stand in every page.
    """

    def __init__(self, static: Static) -> None:
        self._static = static
        self._environment = Environment(
            loader=PackageLoader(__name__.rpartition(".")[0]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["fill"] = _fill

    def page(
        self,
        request: Request,
        template: str,
        wording: Wording,
        context: Mapping[str, object],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> Response:
        """A page.

        Args:
            request: Tells where the application is mounted.
            template: Name without suffix.
            wording: Its texts.
            context: What the template needs beside what all of them have.
            status: Of HTTP.
        """
        root = request.scope.get("root_path", "")
        common: dict[str, object] = {
            "wording": wording,
            "words": wording.pages,
            "study": wording.pages.every.study,
            "contact": "",
            "trial": "",
            "notice": "",
            "static": lambda name: root + self._static.path(name),
        }
        text = self._environment.get_template(f"{template}.html").render({**common, **context})
        return HTMLResponse(text, status, HEADERS)


def _fill(text: str, **values: object) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def redirect(address: str) -> Response:
    """Sends the browser to another page by GET, and forgets the address that it comes from."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, {**HEADERS, "Referrer-Policy": "no-referrer"})
