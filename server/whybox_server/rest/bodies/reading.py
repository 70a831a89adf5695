"""The three ways to send a picture: as the body itself, as a form, or inside JSON."""

import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request

from whybox.v1.errors import CancelledError, InvalidRequestError, PictureError, WhyboxError
from whybox_server.rest.actions import PICTURE_FILES
from whybox_server.rest.bodies.base64_text import decoded
from whybox_server.rest.bodies.cut_off import is_cut_off
from whybox_server.rest.bodies.encodings import encoding_of, packed_limit, unpacked
from whybox_server.rest.bodies.forms import read_form, text_of
from whybox_server.rest.problems import BodyTooLargeError, IncompleteBodyError, UnsupportedMediaTypeError
from whybox_server.validation.explanations import MAX_BASELINE_BYTES, MAX_EXPLANATIONS
from whybox_server.validation.request import NO_PICTURE, check_picture, picture_too_large

JSON_LENGTH = "Inference-Header-Content-Length"
"""The header of the Open Inference Protocol that says how many bytes of a body are JSON, if others follow."""

# What a form or JSON may weigh beside its pictures: more than options need, so that a picture which is somewhat too
# large is read, and named.
_ROOM_FOR_OPTIONS = 2**20

# Between two strings of JSON there is a comma, a colon or a bracket, so that all of this is one string.
_LONG_BASE64 = re.compile(rb'"([A-Za-z0-9+/=]{65536,})"')

_WAYS = (
    "as the body (Content-Type image/* or application/octet-stream), as the part `image` of a "
    "multipart/form-data form, or in base64 as the field `image` of an application/json object"
)


@dataclass(frozen=True)
class Body:
    """A picture and what came with it.

    Attributes:
        picture: The encoded picture, not empty.
        pictures: The encoded pictures that are options, by name; those that are empty are left out.
        form: Fields of a form, in order; a name may repeat.
        json: Fields of a JSON object, without the picture.
    """

    picture: bytes
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    form: tuple[tuple[str, str], ...] = ()
    json: dict[str, Any] = field(default_factory=dict)


async def read_body(request: Request, max_image_bytes: int) -> Body:
    """Reads the body, and never more of it than a picture of `max_image_bytes` with all its options can need.

    Raises:
        PictureError: There is no picture, or it cannot be decoded from its base64.
        PictureTooLargeError: It has more than `max_image_bytes` bytes.
        BodyTooLargeError: A form or JSON has more bytes than the largest right one.
        UnsupportedMediaTypeError: The Content-Type is none of the three.
        UnsupportedEncodingError: The Content-Encoding is none that is unpacked.
        IncompleteBodyError: The body ended early.
        InvalidRequestError: The form or the JSON is malformed.
        CancelledError: The caller went away while sending.
    """
    media_type = media_type_of(request)
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        body = Body(await _picture(request, max_image_bytes))
    elif media_type == "multipart/form-data":
        body = await _form(request, max_image_bytes)
    elif media_type == "application/json":
        body = await _json(request, max_image_bytes)
    elif media_type or await _picture(request, max_image_bytes):
        what = f"Content-Type {media_type}" if media_type else "a body without a Content-Type"
        raise UnsupportedMediaTypeError(f"{what} is not understood; send the picture {_WAYS}", field="image")
    else:
        body = Body(b"")
    if not body.picture:
        raise PictureError(f"{NO_PICTURE}: {_WAYS}", field="image")
    check_picture(body.picture, max_image_bytes)
    return body


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Reads a body that is an object of JSON; without a body the object is empty.

    Args:
        request: What brings it.
        limit: Bytes that it may have.

    Raises:
        BodyTooLargeError: It has more bytes.
        UnsupportedMediaTypeError: Its Content-Type is not application/json.
        UnsupportedEncodingError: The Content-Encoding is none that is unpacked.
        IncompleteBodyError: The body ended early.
        InvalidRequestError: It is no object of JSON.
        CancelledError: The caller went away while sending.
    """
    text = await read_bytes(request, limit, BodyTooLargeError(f"the body may have at most {limit:,} bytes"))
    media_type = media_type_of(request)
    if text and media_type != "application/json":
        what = f"Content-Type {media_type}" if media_type else "a body without a Content-Type"
        raise UnsupportedMediaTypeError(f"{what} is not understood; send an object as application/json")
    return parsed(text)


async def _picture(request: Request, max_image_bytes: int) -> bytes:
    return await read_bytes(request, max_image_bytes, picture_too_large(max_image_bytes))


async def read_bytes(request: Request, limit: int, too_large: WhyboxError) -> bytes:
    """Reads a body, unpacked if it is compressed.

    Args:
        request: What brings it.
        limit: Bytes that it may have.
        too_large: Raised if it has more.

    Raises:
        UnsupportedEncodingError: The Content-Encoding is none that is unpacked.
        IncompleteBodyError: The body ended early.
        InvalidRequestError: It is not compressed as it says.
        CancelledError: The caller went away while sending.
    """
    async with aclosing(_chunks(request, limit, too_large)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _chunks(request: Request, limit: int, too_large: WhyboxError) -> AsyncGenerator[bytes, None]:
    """The body as it was before it was compressed, as it arrives, cut off where it exceeds `limit`."""
    encoding = encoding_of(",".join(request.headers.getlist("content-encoding")))
    if encoding:
        arriving = _arriving(request, packed_limit(limit), too_large)
        body = unpacked(arriving, encoding)
    else:
        arriving = body = _arriving(request, limit, too_large)
    size = 0
    async with aclosing(arriving), aclosing(body):
        async for chunk in body:
            size += len(chunk)
            if size > limit:
                raise too_large
            yield chunk


async def _arriving(request: Request, limit: int, too_large: WhyboxError) -> AsyncGenerator[bytes, None]:
    """The body as it was sent, cut off where it exceeds `limit`: early by what it declares, else by what comes."""
    header = request.headers.get("content-length", "")
    declared = int(header) if re.fullmatch("[0-9]{1,19}", header) else None
    if declared is not None and declared > limit:
        raise too_large
    size = 0
    try:
        async with aclosing(request.stream()) as stream:
            async for chunk in stream:
                size += len(chunk)
                if size > limit:
                    raise too_large
                yield chunk
    except ClientDisconnect:
        raise CancelledError("the caller went away while sending its request") from None
    if is_cut_off(request.scope) or (declared is not None and size < declared):
        promised = "the last chunk" if declared is None else f"the {declared:,} that Content-Length declares"
        message = f"the body ends after {size:,} bytes, before {promised}; send all of it"
        raise IncompleteBodyError(message)


async def _form(request: Request, max_image_bytes: int) -> Body:
    limit = max_image_bytes + MAX_BASELINE_BYTES + _ROOM_FOR_OPTIONS
    async with aclosing(_chunks(request, limit, _body_too_large(limit, max_image_bytes))) as chunks:
        parts = await read_form(request.headers["content-type"], chunks, PICTURE_FILES)
    files: dict[str, bytes] = {}
    fields = []
    for part in parts:
        if part.name in PICTURE_FILES:
            if part.name in files:
                raise InvalidRequestError(f"{part.name} is given twice", field=part.name)
            files[part.name] = bytes(part.content)
        elif part.is_file:
            message = f"{part.name} must be text; files are {' and '.join(PICTURE_FILES)}"
            raise InvalidRequestError(message, field=part.name)
        else:
            fields.append((part.name, text_of(part)))
    return _body(files, form=tuple(fields))


async def _json(request: Request, max_image_bytes: int) -> Body:
    limit = _in_base64(max_image_bytes) + MAX_EXPLANATIONS * _in_base64(MAX_BASELINE_BYTES) + _ROOM_FOR_OPTIONS
    text = bytearray()
    async with aclosing(_chunks(request, limit, _body_too_large(limit, max_image_bytes))) as chunks:
        async for chunk in chunks:
            text += chunk
    fields = _parsed_in_place(text)
    return _body({name: decoded(name, fields.pop(name, None)) for name in PICTURE_FILES}, json=fields)


def _parsed_in_place(text: bytearray) -> dict[str, Any]:
    """As `parsed`, but a long base64 of `image` stays where it is: the field is a view of the text.

    A parser would copy it twice: when it decodes the text, and when it makes the string.
    """
    longest = max(_LONG_BASE64.finditer(text), key=lambda found: found.end() - found.start(), default=None)
    if longest is not None:
        start, end = longest.span(1)
        mark = secrets.token_hex(16)
        around = b"".join((memoryview(text)[:start], mark.encode(), memoryview(text)[end:]))
        # What is wrong is told of the whole text.
        with suppress(InvalidRequestError):
            fields = parsed(around)
            if fields.get("image") == mark:
                return fields | {"image": memoryview(text)[start:end]}
    return parsed(text)


def media_type_of(request: Request) -> str:
    """The media type of a body, in lower case; "" if the request does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parsed(text: bytes | bytearray) -> dict[str, Any]:
    """The object of JSON that a body is; empty if the body is.

    Raises:
        InvalidRequestError: It is no JSON, no object, or an object in it has a name twice.
    """
    if not text:
        return {}
    try:
        fields = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        why = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise InvalidRequestError(f"the body is not valid JSON: {why}") from None
    if not isinstance(fields, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return fields


def _body(files: Mapping[str, bytes], **fields: Any) -> Body:
    # A browser sends a form whose file was not chosen with an empty one.
    pictures = {name: content for name, content in files.items() if content and name != "image"}
    return Body(files.get("image", b""), pictures, **fields)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidRequestError(f"{twice} is given twice; give it once", field=twice)
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _in_base64(size: int) -> int:
    """Base64 turns three bytes into four characters."""
    return (size + 2) // 3 * 4


def _body_too_large(limit: int, max_image_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body may have at most {limit:,} bytes: a picture of at most {max_image_bytes:,}, baselines of at most "
        f"{MAX_BASELINE_BYTES:,} each, and options"
    )
