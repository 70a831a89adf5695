"""Errors of the study commands: one line, and an exit status."""

from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console

from whybox_server.audits import cli as audits
from whybox_server.studies.errors import StudyError


@contextmanager
def explained(err: Console, *, fresh: bool = False) -> Generator[None]:
    """Turns the errors of a study, and those of a pass over its pictures, into one line and an exit status.

    Args:
        err: Console for the line.
        fresh: Whether --fresh was given.
    """
    with audits.explained(err, fresh=fresh):
        try:
            yield
        except StudyError as error:
            err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
