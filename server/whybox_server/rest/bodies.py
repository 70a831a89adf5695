"""The three ways to send a picture: as the body itself, as a form, or inside JSON."""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from whybox.v1.errors import CancelledError, InvalidRequestError, PictureError, PictureTooLargeError
from whybox_server.rest.problems import UnsupportedMediaTypeError

# What a form or JSON may weigh beside its picture.
_ROOM_FOR_OPTIONS = 64 * 1024
_MAX_FORM_FIELDS = 100

_WAYS = (
    "send it as the body (Content-Type image/* or application/octet-stream), as the file field `image` of a "
    "multipart/form-data form, or in base64 as the field `image` of an application/json object"
)


@dataclass(frozen=True)
class Body:
    """A picture and what came with it.

    Attributes:
        picture: The encoded picture, not empty.
        form: Fields of a form, in order; a name may repeat.
        json: Fields of a JSON object, without the picture.
    """

    picture: bytes
    form: tuple[tuple[str, str], ...] = ()
    json: dict[str, Any] = field(default_factory=dict)


async def read_body(request: Request, max_image_bytes: int) -> Body:
    """Reads the body, and never more of it than a picture of `max_image_bytes` can need.

    Raises:
        PictureError: There is no picture, or it cannot be decoded from its base64.
        PictureTooLargeError: It has more than `max_image_bytes` bytes.
        UnsupportedMediaTypeError: The Content-Type is none of the three.
        InvalidRequestError: The form or the JSON is malformed.
        CancelledError: The caller went away while sending.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        body = Body(await _read(request, max_image_bytes, max_image_bytes))
    elif media_type == "multipart/form-data":
        body = await _form(request, max_image_bytes)
    elif media_type == "application/json":
        # Base64 turns three bytes into four characters.
        limit = (max_image_bytes + 2) // 3 * 4 + _ROOM_FOR_OPTIONS
        body = _json(await _read(request, limit, max_image_bytes))
    elif media_type or await _read(request, max_image_bytes, max_image_bytes):
        what = f"Content-Type {media_type}" if media_type else "A body without a Content-Type"
        raise UnsupportedMediaTypeError(f"{what} is not understood. The picture: {_WAYS}.", field="image")
    else:
        body = Body(b"")
    if not body.picture:
        raise PictureError(f"There is no picture: {_WAYS}.", field="image")
    if len(body.picture) > max_image_bytes:
        raise _too_large(max_image_bytes)
    return body


async def _read(request: Request, limit: int, max_image_bytes: int) -> bytes:
    async with aclosing(_chunks(request, limit, max_image_bytes)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _chunks(request: Request, limit: int, max_image_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, cut off where it exceeds `limit`: early by what it declares, else by what comes."""
    declared = request.headers.get("content-length", "")
    if re.fullmatch("[0-9]{1,19}", declared) and int(declared) > limit:
        raise _too_large(max_image_bytes)
    size = 0
    try:
        async with aclosing(request.stream()) as stream:
            async for chunk in stream:
                size += len(chunk)
                if size > limit:
                    raise _too_large(max_image_bytes)
                yield chunk
    except ClientDisconnect:
        raise CancelledError("The caller went away while sending its request.") from None


async def _form(request: Request, max_image_bytes: int) -> Body:
    limit = max_image_bytes + _ROOM_FOR_OPTIONS
    async with aclosing(_chunks(request, limit, max_image_bytes)) as chunks:
        parser = MultiPartParser(
            request.headers, chunks, max_files=1, max_fields=_MAX_FORM_FIELDS, max_part_size=_ROOM_FOR_OPTIONS
        )
        # The size is bounded already: keep the picture in memory instead of writing it to disk.
        parser.spool_max_size = limit + 1
        try:
            form = await parser.parse()
        except (MultiPartException, UnicodeError) as exc:
            raise InvalidRequestError(f"The form cannot be read: {str(exc).rstrip('.')}.") from None
    picture, fields = b"", []
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "image":
                    raise InvalidRequestError(f"{name} must be text; the only file is `image`.", field=name)
                picture = await value.read()
            elif name == "image":
                raise PictureError("image must be a file of the form, with a filename.", field="image")
            else:
                fields.append((name, value))
    finally:
        await form.close()
    return Body(picture, form=tuple(fields))


def _json(text: bytes) -> Body:
    if not text:
        return Body(b"")
    try:
        fields = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        why = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise InvalidRequestError(f"The body is not valid JSON: {why}.") from None
    if not isinstance(fields, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    image = fields.pop("image", "")
    if not isinstance(image, str):
        raise PictureError("image must be a string in base64.", field="image")
    try:
        picture = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise PictureError(
            f"image is not valid base64 ({exc}); no line breaks, no `data:` prefix, padded with `=`.", field="image"
        ) from None
    return Body(picture, json=fields)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidRequestError(f"{twice} is given twice.", field=twice)
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _too_large(max_image_bytes: int) -> PictureTooLargeError:
    return PictureTooLargeError(f"The picture may have at most {max_image_bytes} bytes.", field="image")
