"""The server process: REST, gRPC and the backend on one event loop, from start to a clean stop."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from whybox import v1
from whybox_server import oip
from whybox_server.access.certificates import CertificateError, Certificates, certificates_of
from whybox_server.access.checking import Access
from whybox_server.access.keys import KeyFileError
from whybox_server.cli.notes import Notes
from whybox_server.cli.upgrades import Launch, Running, Upgrades
from whybox_server.database.errors import DatabaseError
from whybox_server.gateway.core import Gateway
from whybox_server.gateway.spool import Spool, folder_in_memory
from whybox_server.monitoring.metrics import Metrics
from whybox_server.monitoring.open_files import connection_shares
from whybox_server.operations.errors import OperationsError
from whybox_server.rest import create_app
from whybox_server.rest.connections import CannotListenError, ConnectionsConfig, authority, serving
from whybox_server.rpc.encryption import server_credentials
from whybox_server.rpc.service import create_server
from whybox_server.settings import Settings
from whybox_server.torchserve.backend import Backend, TorchServeError
from whybox_server.torchserve.folders import FolderError, check_log_folder
from whybox_server.torchserve.machine import cores, memory_bytes
from whybox_server.torchserve.numbers import filled_in
from whybox_server.validation.explanations import MAX_BASELINE_BYTES, MAX_EXPLANATIONS
from whybox_server.validation.operations import no_operations
from whybox_server.validation.traffic import TrafficError

if TYPE_CHECKING:
    from whybox_server.operations import serving as operations_serving
    from whybox_server.studies.api import serving as studies_serving

Studies: TypeAlias = "studies_serving.Beside | None"
Operations: TypeAlias = "operations_serving.Beside | None"

_log = logging.getLogger(__name__)

# What is left of REST when the backend has ended: answers on their way.
_REST_STOP_SECONDS = 5
# What is left of gRPC when the backend has ended: answers on their way, and streams without an end, as of reflection.
_GRPC_STOP_SECONDS = 1.0
# What a gRPC message holds beside the picture: a baseline for each map, and options.
_ENVELOPE_BYTES = MAX_EXPLANATIONS * MAX_BASELINE_BYTES + 64 * 2**10


class ServeError(Exception):
    """The server cannot start; the message says what to do."""


@dataclass(frozen=True)
class Addresses:
    """Where the server listens.

    Attributes:
        rest: "http://host:port", or "https://host:port" with TLS.
        grpc: "grpc://host:port", or "grpcs://host:port" with TLS.
    """

    rest: str
    grpc: str


async def serve_until_stopped(
    settings: Settings, listening: Callable[[Addresses], None], ready: Callable[[float], None]
) -> None:
    """Serves until SIGINT or SIGTERM, then lets requests in flight end and stops all that it started.

    SIGHUP has the store read anew, and what it holds served in the place of what is served; see `cli.upgrades`.

    Args:
        settings: What to serve and where.
        listening: Called once both interfaces take calls; the models may still be loading.
        ready: Called with the seconds since the start once every model can answer.

    Raises:
        ArchiveError: There is no model to serve.
        ServeError: An address is open to other machines without keys or TLS, a port is taken, the logs cannot be
            written, the keys, the certificate, the database, the folder of operations or the weights of versions cannot
            be used, or TorchServe cannot be started.
    """
    _check_exposure(settings)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics()

    def launch(archives: Mapping[Path, v1.Model], settings: Settings) -> Backend:
        settings = filled_in(settings, len(archives), cores(), memory_bytes())
        _log.info(
            "%d workers for predictions and %d for analyses of each of %d models, each with %d threads",
            settings.predict_workers,
            settings.analyze_workers,
            len(archives),
            settings.worker_threads,
        )
        return Backend(archives, settings, metrics.torchserve_restarted)

    access = Access(settings.key_file)
    try:
        access.check_file()
        certificates = certificates_of(settings)
        check_log_folder(settings.log_dir)
        first = Running(settings, launch)
        try:
            await _serve(settings, access, certificates, metrics, launch, first, stop, listening, ready)
        finally:
            await first.end()
    except (
        CertificateError,
        DatabaseError,
        FolderError,
        KeyFileError,
        OperationsError,
        TorchServeError,
        TrafficError,
    ) as error:
        raise ServeError(str(error)) from error


async def _serve(
    settings: Settings,
    access: Access,
    certificates: Certificates | None,
    metrics: Metrics,
    launch: Launch,
    first: Running,
    stop: asyncio.Event,
    listening: Callable[[Addresses], None],
    ready: Callable[[float], None],
) -> None:
    started = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        # All bodies in flight fit, each with what is written of it.
        spool = stack.enter_context(Spool(folder_in_memory(2 * settings.bodies_bytes)))
        gateway = Gateway(
            first.deployment,
            metrics,
            spool,
            max_image_bytes=settings.max_image_bytes,
            cache_bytes=settings.cache_bytes,
            quota_seconds=settings.quota_seconds,
            bodies_bytes=settings.bodies_bytes,
        )
        # The backend ends first: what is in flight then is refused in our own words, and both transports have nothing
        # left.
        studies = await stack.enter_async_context(_studies(settings))
        operations = await stack.enter_async_context(_operations(settings, gateway))
        rooms = (settings, access, certificates, gateway, metrics, studies, operations)
        grpc = await stack.enter_async_context(_grpc(*rooms))
        rest = await stack.enter_async_context(_rest(*rooms))
        if studies is not None:
            studies.listens(rest)
        if operations is not None:
            await stack.enter_async_context(operations.operations.running())
        notes = stack.enter_context(_notes(settings))
        upgrades = Upgrades(settings, launch, gateway, first, notes)
        _on_hang_up(upgrades.ask, stop.set)
        notes.write()
        # What is here now stays: collections of garbage that went through all of it would hold up calls.
        gc.collect()
        gc.freeze()
        listening(Addresses(rest=rest, grpc=grpc))
        # Nobody waits for the answers of operations: the next start makes them.
        left = operations.operations.stop if operations is not None else _nothing
        await upgrades.serve(stop, left, lambda: ready(time.monotonic() - started))


async def _nothing() -> None:
    """Does nothing."""


@contextlib.contextmanager
def _notes(settings: Settings) -> Iterator[Notes]:
    """The file by which the server is found, removed with the server."""
    notes = Notes(settings.log_dir)
    try:
        yield notes
    finally:
        notes.remove()


def _on_hang_up(reload: Callable[[], None], stop: Callable[[], None]) -> None:
    """SIGHUP reloads, unless it tells that the terminal of the server has been closed: then the server stops."""
    had_terminal = os.isatty(0)

    def hung_up() -> None:
        if had_terminal and not os.isatty(0):
            stop()
        else:
            reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


@contextlib.asynccontextmanager
async def _grpc(
    settings: Settings,
    access: Access,
    certificates: Certificates | None,
    gateway: Gateway,
    metrics: Metrics,
    studies: Studies,
    operations: Operations,
) -> AsyncIterator[str]:
    server = create_server(
        gateway,
        metrics,
        access=access,
        # Twice, so that a picture somewhat too large is read and refused in our words, not in those of gRPC.
        max_message_bytes=2 * settings.max_image_bytes + _ENVELOPE_BYTES,
        default_timeout=settings.default_timeout,
        max_timeout=settings.max_timeout,
        keep_alive=settings.grpc_keep_alive,
        upload_seconds=settings.grpc_upload_seconds,
        services=(
            oip.service(gateway),
            *(service for room in (operations, studies) if room for service in room.services),
        ),
        start=operations.operations.start if operations else no_operations,
    )
    address = authority(settings.grpc_host, settings.grpc_port)
    try:
        if certificates is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, server_credentials(certificates))
    except RuntimeError as error:
        raise _cannot_listen("gRPC", settings.grpc_host, settings.grpc_port) from error
    await server.start()
    try:
        scheme = "grpc" if certificates is None else "grpcs"
        yield f"{scheme}://{authority(settings.grpc_host, port)}"
    finally:
        await server.stop(_GRPC_STOP_SECONDS)


@contextlib.asynccontextmanager
async def _rest(
    settings: Settings,
    access: Access,
    certificates: Certificates | None,
    gateway: Gateway,
    metrics: Metrics,
    studies: Studies,
    operations: Operations,
) -> AsyncIterator[str]:
    inference = oip.routes(
        gateway,
        max_image_bytes=settings.max_image_bytes,
        default_timeout=settings.default_timeout,
        max_timeout=settings.max_timeout,
    )
    app = create_app(
        gateway,
        metrics,
        access=access,
        max_image_bytes=settings.max_image_bytes,
        default_timeout=settings.default_timeout,
        max_timeout=settings.max_timeout,
        cors_origins=settings.cors_origins,
        mounts=(*inference, *(route for room in (operations, studies) if room for route in room.routes)),
        described=(oip.described(), *(room.described for room in (operations, studies) if room)),
        start=operations.operations.start if operations else no_operations,
    )
    config = ConnectionsConfig(
        app,
        keep_alive=settings.rest_keep_alive,
        max_connections=connection_shares().rest,
        stop_seconds=_REST_STOP_SECONDS,
        certificates=certificates,
    )
    try:
        async with serving(config, settings.rest_host, settings.rest_port) as address:
            yield address
    except CannotListenError as error:
        raise _cannot_listen("REST", settings.rest_host, settings.rest_port) from error


@contextlib.asynccontextmanager
async def _studies(settings: Settings) -> AsyncIterator[Studies]:
    """The pages and the API of studies; None without a database for them."""
    if not settings.database:
        yield None
        return
    # Loaded here: a server without studies needs no database.
    from whybox_server.studies.api.serving import beside

    limits = {"default_timeout": settings.default_timeout, "max_timeout": settings.max_timeout}
    async with beside(settings.database, settings.public_url, **limits) as studies:
        yield studies


@contextlib.asynccontextmanager
async def _operations(settings: Settings, gateway: Gateway) -> AsyncIterator[Operations]:
    """Operations; None without a database for them."""
    if not settings.database:
        yield None
        return
    # Loaded here, as studies are.
    from whybox_server.operations.serving import beside

    async with beside(settings, gateway) as operations:
        yield operations


def _check_exposure(settings: Settings) -> None:
    """Refuses to serve other machines without keys and TLS.

    Raises:
        ServeError: REST or gRPC listens beyond loopback, keys or TLS are missing, and `insecure` is not set.
    """
    remedies = {}
    if settings.key_file is None:
        remedies["keys"] = "make a key (whybox-server keys add) and set WHYBOX_KEY_FILE"
    if settings.tls_certificate is None:
        remedies["TLS"] = "set WHYBOX_TLS_CERTIFICATE and WHYBOX_TLS_KEY"
    if settings.insecure or not remedies:
        return
    danger = "open to everybody" if "keys" in remedies else "its keys and pictures readable on the way"
    for name, host in (("REST", settings.rest_host), ("gRPC", settings.grpc_host)):
        if not _is_loopback(host):
            raise ServeError(
                f"{name} would listen on {host} without {' and '.join(remedies)}, {danger};"
                f" {', and '.join(remedies.values())}; or listen on 127.0.0.1, behind a proxy on this machine that ends"
                " TLS; or say --insecure (WHYBOX_INSECURE=true) if nobody else reaches this address"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # The address of a name may be any.
        return False


def _cannot_listen(what: str, host: str, port: int) -> ServeError:
    option, host_variable = f"--{what.lower()}", f"WHYBOX_{what.upper()}_HOST"
    return ServeError(
        f"{what} cannot listen on {authority(host, port)}: the port is taken, or the address is not of this machine; "
        f"choose another with {option}-port (0 takes a free one) or {option}-host ({host_variable})"
    )
