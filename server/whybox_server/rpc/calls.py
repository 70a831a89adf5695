"""What every call over gRPC has: its id, its metrics, its time, and the one place where its errors become a status."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
from grpc_status import rpc_status

from whybox.v1.errors import InvalidRequestError, as_whybox_error
from whybox.v1.request_ids import HEADER, usable_or_new
from whybox.v1.vocabulary import COMPRESSION_KEY, DEFAULT_RESPONSE_BYTES, RESPONSE_BYTES_KEY, TIMEOUT_KEY
from whybox_server.monitoring.metrics import Metrics
from whybox_server.validation.kinds import integer
from whybox_server.validation.request import TIMEOUT

Context = grpc.aio.ServicerContext[Any, Any]

# gRPC counts the bytes of a message in 32 bits.
_MESSAGE_BYTES = integer(1, 2**31 - 1)
_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


class Calls:
    """What the services of a server know of their calls.

    Args:
        metrics: Where calls are counted.
        default_timeout: Seconds for a call without a deadline.
        max_timeout: Seconds that no call may exceed, whatever its deadline.
    """

    def __init__(self, metrics: Metrics, *, default_timeout: float, max_timeout: float) -> None:
        self._metrics = metrics
        self._default_timeout = default_timeout
        self._max_timeout = max_timeout

    def answering(self, method: str, model: str, context: Context) -> "Answering":
        """Around the answer to a call.

        Args:
            method: Its name.
            model: The model that it names; empty for a call about none.
            context: Of the call.
        """
        return Answering(self._metrics, method, model, context)

    def timeout(self, context: Context) -> float:
        """Seconds within which a call is answered.

        Raises:
            InvalidRequestError: `x-whybox-timeout` of the call is not a number above 0.
        """
        sent = sent_by(context, TIMEOUT_KEY)
        return min(_seconds(sent, context.time_remaining(), self._default_timeout), self._max_timeout)


@dataclass(frozen=True)
class Service:
    """A further service of Whybox.

    Attributes:
        name: Its full name.
        add: Adds it to a server, which has not started yet.
    """

    name: str
    add: Callable[[grpc.aio.Server, Calls], None]


class Answering:
    """Around the answer to one call: its id, its metrics, and the one place where its errors become a status."""

    def __init__(self, metrics: Metrics, method: str, model: str, context: Context) -> None:
        self._counting = metrics.request("grpc", method)
        self._model = model
        self._context = context
        self._request_id = usable_or_new(dict(context.invocation_metadata() or ()).get(HEADER))
        self._metadata = ((HEADER, self._request_id),)

    async def __aenter__(self) -> str:
        # As with Accept-Encoding, an unknown name asks for nothing.
        if (compression := _COMPRESSIONS.get(sent_by(self._context, COMPRESSION_KEY) or "")) is not None:
            self._context.set_compression(compression)
            # gRPC tells of the compression only in metadata that are sent by themselves.
            await self._context.send_initial_metadata(())
        # With the status: metadata before the answer would be one more message of HTTP/2 for each call.
        self._context.set_trailing_metadata(self._metadata)
        self._counting.__enter__().model = self._model
        return self._request_id

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._counting.__exit__(kind, error, traceback)
        if isinstance(error, Exception):
            status = rpc_status.to_status(as_whybox_error(error, self._request_id).to_status())
            await self._context.abort(status.code, status.details, (*self._metadata, *status.trailing_metadata))


def sent_by(context: Context, key: str) -> str | None:
    """The value of one key of the metadata; None without one."""
    value = dict(context.invocation_metadata() or ()).get(key)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def max_message_bytes(context: Context) -> int:
    """The largest message that the caller takes.

    Raises:
        InvalidRequestError: `x-whybox-max-response-bytes` of the call is not a positive whole number.
    """
    sent = sent_by(context, RESPONSE_BYTES_KEY)
    if sent is None:
        return DEFAULT_RESPONSE_BYTES
    try:
        asked: int = _MESSAGE_BYTES.read(sent)
    except ValueError as error:
        raise InvalidRequestError(f"{RESPONSE_BYTES_KEY} {error}", field=RESPONSE_BYTES_KEY) from None
    return asked


def _seconds(sent: str | None, remaining: float | None, default: float) -> float:
    """Seconds that a caller waits.

    Args:
        sent: `x-whybox-timeout` of the call, for callers whose deadline allows for the way of the answer as well.
        remaining: Seconds until the call's deadline; None for a call without one.
        default: For a caller that says nothing.

    Raises:
        InvalidRequestError: `sent` is not a number above 0.
    """
    seconds = default if remaining is None else max(remaining, 0.0)
    if sent is None:
        return seconds
    try:
        asked: float = TIMEOUT.kind.read(sent)
    except ValueError as error:
        raise InvalidRequestError(f"{TIMEOUT_KEY} {error}", field=TIMEOUT_KEY) from None
    return asked if remaining is None else min(asked, seconds)
