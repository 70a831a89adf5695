"""`whybox-server study serve`."""

import asyncio
import logging
import re
from typing import Annotated

import typer
from rich.console import Console

from whybox_server.settings import read_settings
from whybox_server.studies.commands.common import DATABASE, Database, told
from whybox_server.studies.errors import StudyError


def serve(
    database: Database = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; :: takes IPv6 and IPv4 from everywhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    prefix: Annotated[
        str,
        typer.Option(
            help="Path, such as /research, under which a proxy shows the pages: the proxy takes it away, and the pages"
            " put it into links and cookies.",
            metavar="PATH",
        ),
    ] = "",
) -> None:
    """Show the pages on which people answer, until Ctrl-C. No model is needed.

    whybox-server serve shows them too, beside the models, if WHYBOX_DATABASE is set. Let either speak TLS
    (WHYBOX_TLS_CERTIFICATE and WHYBOX_TLS_KEY), or put it behind a proxy that does: an invitation lets in whoever reads
    it on the way. The server believes X-Forwarded-Proto from 127.0.0.1.
    """
    # Imported here: no other command serves pages.
    from whybox_server.access.certificates import CertificateError, certificates_of
    from whybox_server.rest.connections import CannotListenError, authority
    from whybox_server.studies.api.serving import PREFIX, serve_pages

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    def listens(address: str) -> None:
        print(f"studies on {address}{PREFIX}; Ctrl-C stops", flush=True)  # noqa: T201

    with told(Console(stderr=True, highlight=False)):
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", prefix):
            raise StudyError(f"--prefix {prefix!r}: give a path such as /research, without a slash at its end")
        settings = read_settings(database=database)
        try:
            certificates = certificates_of(settings)
            pages = serve_pages(
                settings.database or DATABASE, host, port, listens, prefix=prefix, certificates=certificates
            )
            asyncio.run(pages)
        except CertificateError as error:
            raise StudyError(str(error)) from error
        except CannotListenError as error:
            remedy = "choose another with --port (0 takes a free one) or --host"
            raise StudyError(f"cannot listen on {authority(host, port)} ({error}); {remedy}") from error
