"""Connections of REST: HTTP by h11, plain or over TLS, at most `max_connections` at once, none held in silence."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.server import ServerState

from whybox.v1.errors import UnavailableError, WhyboxError
from whybox.v1.request_ids import HEADER, usable_or_new
from whybox_server.access.certificates import Certificates
from whybox_server.monitoring.readiness import SERVER_STOPPING
from whybox_server.rest.bodies.cut_off import CutOffProtocol
from whybox_server.rest.problems import MEDIA_TYPE, RequestTimeoutError, problem

_log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
"""From the first byte of a request, or from the start of a connection, to the end of the headers."""
HANDSHAKE_SECONDS = 10.0
"""From the start of a connection with TLS to the end of its handshake; the headers have their own time after it."""
SILENCE_SECONDS = 30.0
"""A body that has no new byte for this long is given up, and so is an answer of which the caller takes no byte."""

# A caller that keeps its connection idle reads no farewell of TLS, and is not waited for.
_FAREWELL_SECONDS = 1.0
# asyncio accepts this many connections at once, before any of them can be closed.
_LARGEST_BACKLOG, _SMALLEST_BACKLOG = 128, 8


class ConnectionsConfig(uvicorn.Config):
    """How uvicorn serves REST; it chooses nothing by what else is installed.

    Args:
        app: The application.
        keep_alive: Seconds that an idle connection stays open after an answer.
        max_connections: Connections at once. One more closes the one that has waited longest for a request; if all are
            being answered, it is refused with 503.
        stop_seconds: Seconds that answers in flight have at a stop.
        root_path: Path that a proxy in front takes away.
        certificates: For TLS; None speaks plain text.
    """

    def __init__(
        self,
        app: Any,
        *,
        keep_alive: int,
        max_connections: int,
        stop_seconds: int,
        root_path: str = "",
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(
            app,
            http=Connection,
            ws="none",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            lifespan="off",
            backlog=max(_SMALLEST_BACKLOG, min(_LARGEST_BACKLOG, max_connections // 8)),
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=stop_seconds,
            root_path=root_path,
        )
        self.max_connections = max_connections
        self.certificates = certificates
        self.handshakes: set[_Handshake] = set()
        self.was_full = False

    def tell_full(self) -> None:
        """Logs that there are as many connections as there may be, once until half of them have gone."""
        if not self.was_full:
            self.was_full = True
            _log.warning(
                "REST has %d connections, as many as it may; those that wait longest are closed", self.max_connections
            )


class CannotListenError(Exception):
    """The port is taken, or the address is not of this machine."""


@contextlib.asynccontextmanager
async def serving(config: ConnectionsConfig, host: str, port: int) -> AsyncIterator[str]:
    """Serves until the context ends; requests in flight then have `stop_seconds`.

    Args:
        config: How, and what.
        host: On "::" IPv4 is taken as well.
        port: 0 takes a free one.

    Yields:
        "http://host:port", or "https://host:port" with certificates.

    Raises:
        CannotListenError: See there.
    """
    try:
        listener = _listener(host, port)
    except OSError as error:
        raise CannotListenError(str(error)) from error
    # asyncio switches Nagle's algorithm off only for sockets of its own making; with it an answer takes 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Uvicorn(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        scheme = "http" if config.certificates is None else "https"
        yield f"{scheme}://{authority(host, listener.getsockname()[1])}"
    finally:
        server.should_exit = True
        await running


def authority(host: str, port: int) -> str:
    """Host and port, as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens; on "::" it takes IPv4 as well, as gRPC does."""
    if ":" not in host:
        return socket.create_server((host, port))
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to the process, which may have more to stop than one server, and speaks TLS in its own way."""

    config: ConnectionsConfig

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`, whose TLS keeps its certificate, and counts no connection before its handshake."""
        loop = asyncio.get_running_loop()
        certificates = self.config.certificates
        accepted = self._connection if certificates is None else partial(self._handshake, certificates)
        self.servers = [
            await loop.create_server(accepted, sock=listener, backlog=self.config.backlog) for listener in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        for handshake in tuple(self.config.handshakes):
            handshake.abort()
        await super().shutdown(sockets)

    def _connection(self) -> "Connection":
        return Connection(self.config, self.server_state, self.lifespan.state)

    def _handshake(self, certificates: Certificates) -> "_Handshake":
        return _Handshake(certificates, self._connection)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Handshake(asyncio.Protocol):
    """A connection over TLS until its handshake has ended; it counts as one that waits.

    Args:
        certificates: What they hold when the connection begins is what it uses.
        encrypted: Makes the protocol that takes over.
    """

    def __init__(self, certificates: Certificates, encrypted: "Callable[[], Connection]") -> None:
        self._certificates = certificates
        self._connection = encrypted()
        self._config = self._connection.config
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self.since = self._connection.since

    def abort(self) -> None:
        """Ends it without a word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"TLS needs a transport that reads and writes, not {type(transport).__name__}")
        # What comes before the handshake has begun is for the handshake.
        transport.pause_reading()
        self._transport = transport
        self._config.handshakes.add(self)
        self._make_room()
        self._task = asyncio.get_running_loop().create_task(self._encrypt(transport))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`: what the caller sent with the end of the handshake."""
        self._early.append(data)

    async def _encrypt(self, plain: asyncio.Transport) -> None:
        try:
            if plain.is_closing():
                # There was no room; asyncio would wait for a handshake all the same.
                return
            encrypted = await asyncio.get_running_loop().start_tls(
                plain,
                self,
                self._certificates.current().context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_FAREWELL_SECONDS,
            )
        except OSError:
            # The caller has gone, is too slow, speaks no TLS, or does not like the certificate or has none.
            return
        finally:
            self._config.handshakes.discard(self)
        if encrypted is None or plain.is_closing():
            # It was closed meanwhile, by the caller or to make room.
            if encrypted is not None:
                encrypted.abort()
            return
        encrypted.set_protocol(self._connection)
        self._connection.connection_made(encrypted)
        for data in self._early:
            self._connection.data_received(data)

    def _make_room(self) -> None:
        connections = self._connection.connections
        if len(connections) + len(self._config.handshakes) <= self._config.max_connections:
            return
        self._config.tell_full()
        waiting: list[_Handshake | Connection] = [each for each in self._config.handshakes if each is not self]
        waiting += [each for each in connections if isinstance(each, Connection) and each.can_go]
        # Without TLS there are no words in which to refuse this one.
        min(waiting, key=lambda each: each.since, default=self).abort()


class Connection(CutOffProtocol):
    """One connection; see `ConnectionsConfig`."""

    config: ConnectionsConfig

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None
        self._waits_for = ""
        self._unread = 0
        self._reader_timer: asyncio.TimerHandle | None = None
        self.since = self.loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def can_go(self) -> bool:
        """Whether it may be closed to make room."""
        return self.is_idle and not self.transport.is_closing()

    def abort(self) -> None:
        """Ends it without a word."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"HTTP needs a transport that reads and writes, not {type(transport).__name__}")
        super().connection_made(transport)
        self._wait("headers", HEADER_SECONDS)
        if len(self.connections) > self.config.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._wait_no_more()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
        if len(self.connections) <= self.config.max_connections // 2:
            self.config.was_full = False

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self.since = self.loop.time()
        self._watch()

    def on_response_complete(self) -> None:
        """See `H11Protocol`."""
        super().on_response_complete()
        self.since = self.loop.time()
        self._watch()

    def shutdown(self) -> None:
        """See `H11Protocol`; a request whose body is still on its way has no time left."""
        if not self.is_idle and self.conn.their_state is h11.SEND_BODY:
            self._refuse(UnavailableError("the server is stopping; send the request again", reason=SERVER_STOPPING))
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(SILENCE_SECONDS, self._check_reader)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """See `H11Protocol`; a caller that never took its answer would hold the connection."""
        if self.flow.write_paused:
            # Another timer watches the caller take the rest of its answer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _should_upgrade(self) -> bool:
        # HTTP/1.1 lets a server ignore `Upgrade` (RFC 9110, 7.8); Java offers h2c with every request.
        return False

    def _watch(self) -> None:
        """Starts the timer of what the caller has to send next."""
        if self.transport.is_closing():
            self._wait_no_more()
        elif self.conn.their_state is h11.SEND_BODY:
            self._wait("body", SILENCE_SECONDS)
        elif self.conn.their_state is not h11.IDLE or not self.conn.trailing_data[0]:
            # The request is complete, or there is none yet: keep-alive, or the first timer, runs on.
            if self._waits_for == "body" or self.cycle is not None:
                self._wait_no_more()
        elif self._waits_for != "headers":
            # Each byte must not start it anew.
            self._wait("headers", HEADER_SECONDS)

    def _wait(self, what: str, seconds: float) -> None:
        self._wait_no_more()
        self._waits_for = what
        self._timer = self.loop.call_later(seconds, self._too_late)

    def _wait_no_more(self) -> None:
        self._waits_for = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        if self._waits_for == "body" and self.flow.read_paused:
            # The application has not taken what came: the caller is not late.
            self._wait("body", SILENCE_SECONDS)
        elif self._waits_for == "body":
            self._refuse(RequestTimeoutError(f"no byte of the body came for {SILENCE_SECONDS:g} s; send all of it"))
        elif self.conn.trailing_data[0]:
            message = f"the headers did not end within {HEADER_SECONDS:g} s; send them at once"
            self._refuse(RequestTimeoutError(message))
        else:
            self.transport.close()

    def _check_reader(self) -> None:
        size = self.transport.get_write_buffer_size()
        if size >= self._unread:
            self.transport.abort()
        else:
            self._unread = size
            self._reader_timer = self.loop.call_later(SILENCE_SECONDS, self._check_reader)

    def _make_room(self) -> None:
        limit = self.config.max_connections
        self.config.tell_full()
        others = (each for each in self.connections if isinstance(each, Connection) and each is not self)
        idle = [each for each in others if each.can_go]
        if idle:
            min(idle, key=lambda each: each.since).abort()
        else:
            message = f"the server has {limit} connections already; try again in a moment"
            self._refuse(UnavailableError(message, reason="TOO_MANY_CONNECTIONS", retry_after=1))

    def _refuse(self, error: WhyboxError) -> None:
        """Answers in place of the application if it has not begun to, and closes the connection."""
        self._wait_no_more()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            sent = dict(self.headers or ()) if not self.is_idle else {}
            request_id = usable_or_new(sent.get(HEADER.encode(), b"").decode("latin-1"))
            details = problem(error, request_id)
            headers = [
                ("content-type", MEDIA_TYPE),
                ("connection", "close"),
                (HEADER, request_id),
                *([("retry-after", "1")] if error.retry_after else []),
            ]
            body = json.dumps(details).encode()
            headers.append(("content-length", str(len(body))))
            for event in (
                h11.Response(status_code=details["status"], headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            # The application finds that the caller has gone, and says no more.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
