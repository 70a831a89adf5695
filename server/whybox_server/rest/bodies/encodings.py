"""Bodies that are compressed (Content-Encoding), unpacked as they arrive and never further than a limit allows."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator

from whybox.v1.errors import InvalidRequestError
from whybox_server.rest.problems import ENCODINGS, IncompleteBodyError, UnsupportedEncodingError

# A body that cannot be compressed grows by less than this when it is packed.
_GROWTH = 1.01
_HEADER_BYTES = 1024

_PIECE_BYTES = 64 * 2**10
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def encoding_of(header: str) -> str:
    """The encoding that a Content-Encoding names: one of `ENCODINGS`, or "" for a body as it is.

    Raises:
        UnsupportedEncodingError: It is another one, or there are several.
    """
    names = [name for each in header.split(",") if (name := each.strip().lower()) not in ("", "identity")]
    if not names:
        return ""
    name = names[0].removeprefix("x-")
    if len(names) > 1 or name not in ENCODINGS:
        message = f"Content-Encoding {header.strip()} is not understood; use {' or '.join(ENCODINGS)}, or leave it out"
        raise UnsupportedEncodingError(message)
    return name


def packed_limit(limit: int) -> int:
    """The most bytes that `limit` bytes can have when they are compressed."""
    return int(limit * _GROWTH) + _HEADER_BYTES


async def unpacked(chunks: AsyncIterable[bytes], encoding: str) -> AsyncGenerator[bytes, None]:
    """The body as it was before it was compressed, in pieces of at most 64 KiB.

    Its caller bounds the size: no more is unpacked than the caller takes.

    Args:
        chunks: The compressed body.
        encoding: One of `ENCODINGS`.

    Raises:
        InvalidRequestError: It is not compressed like this.
        IncompleteBodyError: It ends too early.
    """
    unpacker = _Unpacker(encoding)
    try:
        async for chunk in chunks:
            for piece in unpacker.pieces(chunk):
                yield piece
    except zlib.error as error:
        what = str(error).rpartition(": ")[2]
        message = f"the body is not valid {encoding} ({what}); compress it again, or leave Content-Encoding out"
        raise InvalidRequestError(message) from None
    if not unpacker.complete:
        raise IncompleteBodyError(f"the body ends before its {encoding} does; send all of it")


class _Unpacker:
    """Unpacks a body chunk by chunk."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._begun = b""
        self._stream = None if encoding == "deflate" else zlib.decompressobj(_GZIP_BITS)

    @property
    def complete(self) -> bool:
        """Whether the compressed data has come to its end."""
        return self._stream is not None and self._stream.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What a chunk unpacks to, piece by piece."""
        if self._stream is None:
            self._begun += data
            if len(self._begun) < 2:
                return
            data, self._stream = self._begun, zlib.decompressobj(_deflate_bits(self._begun))
        piece = b""
        # After a full piece more may be due, although no data is left.
        while data or len(piece) == _PIECE_BYTES:
            if self._stream.eof:
                # A gzip may have several members, one after the other.
                if self._encoding != "gzip":
                    raise zlib.error("bytes follow its end")
                self._stream = zlib.decompressobj(_GZIP_BITS)
            piece = self._stream.decompress(data, _PIECE_BYTES)
            yield piece
            if self._stream.eof:
                piece, data = b"", self._stream.unused_data
            else:
                data = self._stream.unconsumed_tail


def _deflate_bits(begun: bytes) -> int:
    """HTTP means the format of zlib by "deflate"; some clients send the bare compressed data."""
    is_zlib = begun[0] & 0x0F == zlib.DEFLATED and int.from_bytes(begun[:2]) % 31 == 0
    return _ZLIB_BITS if is_zlib else _RAW_BITS
