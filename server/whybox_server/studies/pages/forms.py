"""Forms, as browsers send them."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

# A form holds a few short fields.
_LARGEST_BYTES = 16 * 2**10
_MOST_FIELDS = 16
_LONGEST_MS = 2**31 - 1
# The connection bounds the silence between two bytes; a form that drips holds it no longer than this.
_LONGEST_SECONDS = 30.0
_MEDIA_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form; of a field that is there twice, the last.

    Raises:
        HTTPException: It is too large, too slow, or no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            body = await _read(request)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"}) from None
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST) from error
    return dict(fields)


async def _read(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body


def field(form: Mapping[str, str], name: str) -> str:
    """A field that must be there.

    Raises:
        HTTPException: It is missing.
    """
    if name not in form:
        raise HTTPException(HTTPStatus.BAD_REQUEST)
    return form[name]


def milliseconds(form: Mapping[str, str]) -> int | None:
    """The time that an answer took; None from browsers without scripts.

    Raises:
        HTTPException: It is no whole number of milliseconds.
    """
    text = form.get("milliseconds", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LONGEST_MS):
        raise HTTPException(HTTPStatus.BAD_REQUEST)
    return int(text)
