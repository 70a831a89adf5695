"""The command `whybox-server study serve`."""

import asyncio
import logging
from typing import Annotated

import typer
from rich.console import Console

from whybox_server.settings import SettingsError, read_settings

_DATABASE = "sqlite:///whybox-studies.db"
_err = Console(stderr=True, highlight=False)


def serve(
    database: Annotated[
        str | None,
        typer.Option(
            help="Database of the studies, such as sqlite:///studies.db or postgresql://user:password@host:5432/name."
            f" Default: WHYBOX_DATABASE, or {_DATABASE}.",
            metavar="URL",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; :: takes IPv6 and IPv4 from everywhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8002,
) -> None:
    """Show the pages on which people answer, until Ctrl-C. No model is needed.

    Put it behind a proxy with TLS: invitations let in whoever reads them on the way. The proxy's X-Forwarded-Proto is
    believed if it comes from 127.0.0.1.
    """
    # Imported here: no other command needs a database.
    from whybox_server.database.errors import DatabaseError
    from whybox_server.rest.connections import CannotListenError, authority
    from whybox_server.studies.serving import PREFIX, serve_pages

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def listens(address: str) -> None:
        print(f"studies on {address}{PREFIX}/; Ctrl-C stops", flush=True)  # noqa: T201

    try:
        url = read_settings(database=database).database or _DATABASE
        asyncio.run(serve_pages(url, host, port, listens))
    except CannotListenError as error:
        _fail(f"cannot listen on {authority(host, port)} ({error}); choose another with --port (0 takes a free one)")
    except (DatabaseError, SettingsError) as error:
        _fail(str(error))


def _fail(text: str) -> None:
    _err.print(f"error: {text}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
