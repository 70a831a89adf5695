"""The parts of a form (multipart/form-data, RFC 7578), read as they arrive and only if the form is complete."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from whybox.v1.errors import InvalidRequestError
from whybox_server.rest.problems import IncompleteBodyError

if TYPE_CHECKING:
    # It is there for type checkers alone.
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 64 * 2**10
MAX_FIELDS = 100

# Encodings of a part that change nothing. RFC 7578 deprecates the header, and some clients still send it.
_AS_IT_IS = ("", "binary", "8bit", "7bit")


@dataclass
class Part:
    """One part of a form; it grows while the form arrives.

    Attributes:
        headers: Its headers, their names in lower case.
        name: Its name.
        is_file: Whether it has a filename.
        content: Its bytes.
    """

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)


async def read_form(content_type: str, chunks: AsyncIterable[bytes], pictures: Collection[str]) -> list[Part]:
    """Reads a form to its closing boundary.

    Args:
        content_type: The Content-Type, with the boundary.
        chunks: The body as it arrives. Its caller bounds its size.
        pictures: Names of the parts that hold pictures, with a filename or without. Every other part without a
            filename is an option, and has at most `MAX_FIELD_BYTES` bytes.

    Raises:
        InvalidRequestError: The form is malformed or has too many parts.
        IncompleteBodyError: The closing boundary is missing.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise InvalidRequestError("the form cannot be read: its Content-Type names no boundary; add boundary=...")
    form = _Form(pictures)
    try:
        parser = MultipartParser(boundary, form.callbacks)
        async for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise InvalidRequestError(f"the form cannot be read: {str(error).rstrip('.')}") from None
    if not form.complete:
        raise IncompleteBodyError(
            f"the form ends before its closing boundary; end it with --{boundary.decode('latin-1')}--"
        )
    return form.parts


class _Form:
    """Collects the parts that the parser finds."""

    def __init__(self, pictures: Collection[str]) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._pictures = pictures
        self._header = bytearray()
        self._value = bytearray()

    @property
    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": lambda: self.parts.append(Part()),
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self.parts[-1].headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        part = self.parts[-1]
        options = parse_options_header(part.headers.get(b"content-disposition"))[1]
        if b"name" not in options:
            raise InvalidRequestError('the form cannot be read: a part has no name; add name="..." to it')
        part.name = _name(options[b"name"])
        part.is_file = b"filename" in options
        encoding = part.headers.get(b"content-transfer-encoding", b"").decode("latin-1").strip().lower()
        if encoding not in _AS_IT_IS:
            message = f"{part.name} has the Content-Transfer-Encoding {encoding}; send its bytes as they are"
            raise InvalidRequestError(message, field=part.name)
        files = sum(self._holds_picture(part) for part in self.parts)
        if files > len(self._pictures):
            raise InvalidRequestError(f"Too many files in the form; send at most {len(self._pictures)}")
        if len(self.parts) - files > MAX_FIELDS:
            raise InvalidRequestError(f"the form has too many options; send at most {MAX_FIELDS}")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        part.content += data[start:end]
        if len(part.content) > MAX_FIELD_BYTES and not self._holds_picture(part):
            message = f"{part.name} has more than {MAX_FIELD_BYTES:,} bytes; shorten it"
            raise InvalidRequestError(message, field=part.name)

    def _on_end(self) -> None:
        self.complete = True

    def _holds_picture(self, part: Part) -> bool:
        return part.is_file or part.name in self._pictures


def text_of(part: Part) -> str:
    """The content of a part that is an option.

    Raises:
        InvalidRequestError: It is no UTF-8.
    """
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{part.name} must be text in UTF-8", field=part.name) from None


def _name(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("the name of a part must be text in UTF-8") from None
